"""Opens what a disk holds after a cut, and compares what clients would see with the journal.

What Barnabas promises of a power cut, and is checked here:

- the broker starts, and serves every partition of every topic;
- a change of a topic that was answered has happened, and is whole; ids stay, nothing deleted is
  back;
- records that were acknowledged by a topic with `flush.messages=1` are there, at their offsets, in
  order, once, and what an idempotent producer sends again is known;
- what is read of any topic was sent, and has no gap; of a topic without fsyncs the end may be gone;
- if the coordinators' topics are fsynced, too (the broker's default `log.flush.interval.messages`
  is 1): what groups have committed is there; of a transaction all is seen or nothing, the offsets
  that it commits included, as was answered, and no partition is held up by one that nobody ends.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import barnabas
from faults.power.journal import Cut, Journal, Record, Transaction
from faults.power.workload import (
    LOOSE,
    ORDERS,
    PAYERS,
    PAYMENTS,
    READERS,
    STATE,
    TOPICS,
    TRANSACTIONAL_ID,
    Setting,
    find_coordinators,
    retention_of,
)
from peers.processes import wait_until
from unit.wire import WireClient

TIMEOUT_S: Final = 20
_RETRIABLE = {14, 15, 16, 51}  # loading, no coordinator, not this one, a transaction that ends
_EARLIEST, _LATEST = -2, -1

Partition = tuple[str, int]


@dataclass
class Found:
    """What clients see of one partition."""

    start: int
    end: int
    stable: int
    records: list[tuple[int, bytes | None, bytes]]  # offset, key, value
    committed: set[bytes]  # values that read_committed sees


class Audit:
    """Of one image."""

    def __init__(self, root: Path, setting: Setting, journal: Journal, cut: Cut) -> None:
        self._log_dirs = [root / name for name in setting.log_dirs]
        not_now = {"log.retention.check.interval.ms": "3600000"}  # while we read
        self._config = {**setting.config(root), **not_now}
        self._has_durable_coordinators = setting.has_durable_coordinators
        self._journal = journal
        self._cut = cut
        self._by_value = {record.value: record for record in journal.records}

    def check(self, rng: random.Random, *, goes_on: bool) -> None:
        """Raises AssertionError for what is not as it must be."""
        with barnabas.Broker(config=self._config) as broker:
            with WireClient(broker.bootstrap_servers) as client:
                ids = self._check_topics(client)
                self._check_directories(client)
                find_coordinators(client)
                self._end_transactions(client)
                found = read_all(broker, client)
                offsets = self._check_offsets(client)
                self._check_retries(client, found)
            for partition, one in found.items():
                self._check_partition(partition, ids[partition[0]], one)
            if self._has_durable_coordinators:
                self._check_transactions(found, offsets)
            if goes_on:
                sent = self._send_more(broker, found, rng)
        if goes_on:
            self._check_again(found, sent)

    # -- topics

    def _check_topics(self, client: WireClient) -> dict[str, str]:
        topics = {t.name: t for t in client.ask("Metadata", 12, topics=None).topics}
        known = sorted({change.topic for change in self._journal.changes})
        retention = retention_of(client, [name for name in known if name in topics])
        for name in known:
            topic = topics.get(name)
            seen = topic and (str(topic.topic_id), len(topic.partitions), retention[name])
            states = self._journal.states(name, self._cut)
            assert any(
                seen is None
                if state is None
                else seen is not None
                and seen[1:] == (state.partitions, state.retention_ms)
                and state.topic_id in (None, seen[0])
                for state in states
            ), f"{name} is {seen}, not any of {states}"
        for topic in topics.values():
            codes = {int(topic.error_code), *(int(p.error_code) for p in topic.partitions)}
            assert codes == {0}, topic
            assert {int(p.leader_id) for p in topic.partitions} == {1}, topic
        return {name: str(topic.topic_id) for name, topic in topics.items()}

    def _check_directories(self, client: WireClient) -> None:
        """None is left over, or was set aside. A move that goes on ends meanwhile."""
        topics = client.ask("Metadata", 12, topics=None).topics
        known = {f"{t.name}-{p.partition_index}" for t in topics for p in t.partitions}

        def are_right() -> bool:
            paths = [path for log_dir in self._log_dirs for path in log_dir.iterdir()]
            names = [path.name for path in paths if path.is_dir()]
            there = [name for name in names if not name.endswith(("-delete", "-future"))]
            return sorted(there) == sorted(known)

        wait_until(are_right, TIMEOUT_S, f"the directories of {known}")

    # -- records

    def _check_partition(self, partition: Partition, topic_id: str, found: Found) -> None:
        topic, number = partition
        cut = self._cut
        last = -1
        for offset, key, value in found.records:
            record = self._by_value.get(value)
            where = f"{topic}-{number} at {offset}"
            assert record is not None, f"{where}: nobody sent {value[:20]!r}"
            assert (*partition, topic_id) == record.where, f"{where}: was sent to {record.where}"
            assert cut.may_hold(record), f"{where}: {record.number} was sent later"
            assert record.key == key, f"{where}: the key is {key!r}"
            assert record.offset in (-1, offset), f"{where}: was acknowledged at {record.offset}"
            assert record.number > last, f"{where}: {record.number} comes after {last}"
            last = record.number
        must = [
            record
            for record in self._journal.records
            if record.where == (*partition, topic_id) and cut.must_hold(record)
        ]
        if topic == STATE:
            self._check_state(found, must)
            return
        self._check_no_gap(partition, found)
        least, most = self._journal.log_starts(topic, number, cut)
        if topic == LOOSE:
            return
        assert least <= found.start <= most, (
            f"{topic}-{number} starts at {found.start}, not within {least} and {most}"
        )
        there = {value for _, _, value in found.records}
        lost = [r for r in must if r.offset >= found.start and r.value not in there]
        assert not lost, (
            f"{topic}-{number} has lost {[(r.number, r.offset) for r in lost]}; it is "
            f"{found.start} to {found.end}"
        )

    def _check_no_gap(self, partition: Partition, found: Found) -> None:
        offsets = [offset for offset, _, _ in found.records]
        if partition[0] == PAYMENTS:  # markers have offsets, too
            is_held_up = found.stable < found.end and self._has_durable_coordinators
            assert not is_held_up, f"{partition} is held up at {found.stable}: {found}"
            return
        expected = [*range(found.start, found.end)]
        assert offsets == expected, f"{partition} has {offsets}, not {expected}"

    def _check_state(self, found: Found, must: Sequence[Record]) -> None:
        last_found = {key: self._by_value[value].number for _, key, value in found.records}
        for record in must:
            newest = last_found.get(record.key, -1)
            assert newest >= record.number, (
                f"{record.key!r} is {newest}, {record.number} was acknowledged at {record.offset}"
            )

    # -- groups and transactions

    def _end_transactions(self, client: WireClient) -> None:
        """As the next producer with that transactional id would: its open one is aborted."""
        code = 51
        deadline = time.monotonic() + TIMEOUT_S
        while code in _RETRIABLE:
            assert time.monotonic() < deadline, f"the transaction does not end: {code}"
            answer = client.ask(
                "InitProducerId",
                4,
                transactional_id=TRANSACTIONAL_ID,
                transaction_timeout=60_000,
                producer_id=-1,
                producer_epoch=-1,
            )
            code = int(answer.error_code)
        assert code == 0, answer

    def _check_offsets(self, client: WireClient) -> dict[tuple[str, int], int]:
        """Those that groups have committed of orders."""
        journal = self._journal
        is_durable = self._has_durable_coordinators
        possible_of = journal.offsets if is_durable else journal.offsets_without_fsyncs
        offsets = {}
        for group in (READERS, PAYERS):
            for partition, offset in _offsets_of(client, group):
                offsets[group, partition] = offset
                possible = possible_of(group, partition, self._cut)
                assert offset in possible, (
                    f"{group} has committed {offset} of {ORDERS}-{partition}, not of {possible}"
                )
        return offsets

    def _check_transactions(
        self, found: dict[Partition, Found], offsets: dict[tuple[str, int], int]
    ) -> None:
        payments = [one for (topic, _), one in found.items() if topic == PAYMENTS]
        committed = {value for one in payments for value in one.committed}
        records: dict[Transaction, list[Record]] = {t: [] for t in self._journal.transactions}
        for record in self._journal.records:
            if record.transaction is not None:
                records[record.transaction].append(record)
        offset = offsets[PAYERS, 0]
        with_offsets = {c.transaction for c in self._journal.commits if c.group == PAYERS}
        for transaction, sent in records.items():
            seen = [record.value in committed for record in sent]
            what = f"transaction {transaction}: {seen}"
            if not transaction.is_commit or not self._cut.may_hold(transaction):
                assert not any(seen), f"{what}, though it was not committed"
                continue
            if self._cut.must_hold(transaction):
                assert all(seen), f"{what}, though it was committed"
            assert all(seen) or not any(seen), f"half of {what}"
            if transaction in with_offsets:
                number = transaction.number  # what it commits: later ones have larger
                is_right = offset >= number if all(seen) else offset != number
                assert is_right, f"{what}, offset {offset}"

    # -- it goes on

    def _check_retries(self, client: WireClient, found: dict[Partition, Found]) -> None:
        """A producer that was not told sends its last batch once more."""
        for (topic, number), one in found.items():
            if topic != ORDERS or not one.records:
                continue
            batch = _last_batch(client, topic, number, one.records[-1][0])
            partitions = [{"index": number, "records": bytes(8) + batch[8:]}]  # as it was sent
            answer = client.ask(
                "Produce",
                8,
                acks=-1,
                timeout=60_000,
                topic_data=[{"name": topic, "partition_data": partitions}],
            )
            (told,) = answer.responses[0].partition_responses
            assert told.error_code == 0, f"{topic}-{number} refuses a retry: {told}"
            base_offset = int.from_bytes(batch[:8], "big")
            assert told.base_offset == base_offset, f"{topic}-{number}: {told}, not {base_offset}"

    def _send_more(
        self, broker: barnabas.Broker, found: dict[Partition, Found], rng: random.Random
    ) -> dict[Partition, bytes]:
        sent = {}
        with broker.producer() as producer:
            for number, (topic, partition) in enumerate(found):
                value = b"later %d %d" % (number, rng.randrange(2**32))
                delivery = producer.send(topic, value, key=b"later", partition=partition)
                assert delivery.result(TIMEOUT_S).offset == found[topic, partition].end
                sent[topic, partition] = value
        return sent

    def _check_again(self, found: dict[Partition, Found], sent: dict[Partition, bytes]) -> None:
        """After a clean stop all is as it was."""
        with (
            barnabas.Broker(config=self._config) as broker,
            WireClient(broker.bootstrap_servers) as client,
        ):
            again = read_all(broker, client)
        assert again.keys() == found.keys()
        for partition, one in again.items():
            before = found[partition]
            added = (before.end, b"later", sent[partition])
            expected = [*before.records, added]
            if partition[0] == STATE:  # compaction goes on
                assert one.records[-1] == added, f"{partition} ends with {one.records[-1]}"
                assert {r[0] for r in one.records} <= {r[0] for r in expected}
            else:
                assert one.records == expected, f"{partition} is another after a clean stop"


def read_all(broker: barnabas.Broker, client: WireClient) -> dict[Partition, Found]:
    """Every partition, but for the coordinators'."""
    topics = client.ask("Metadata", 12, topics=None).topics
    partitions = [
        (topic.name, p.partition_index)
        for topic in topics
        if not topic.is_internal
        for p in topic.partitions
    ]
    starts = _list_offsets(client, partitions, _EARLIEST, 0)
    ends = _list_offsets(client, partitions, _LATEST, 0)
    stables = _list_offsets(client, partitions, _LATEST, 1)
    found = {one: Found(starts[one], ends[one], stables[one], [], set()) for one in partitions}
    names = sorted({topic for topic, _ in partitions})
    if not names:  # it is so early in the life that there is none
        return found
    for isolation in ("read_uncommitted", "read_committed"):
        with broker.consumer(
            names, auto_offset_reset="earliest", isolation_level=isolation
        ) as consumer:
            while (batch := consumer.poll(0)) is not None:
                one = found[batch.topic, batch.partition]
                values = [value or b"" for value in batch.values]
                if isolation == "read_committed":
                    one.committed.update(values)
                else:
                    offsets = [int(offset) for offset in batch.offsets]
                    one.records += zip(offsets, batch.keys, values, strict=True)
    return found


def _list_offsets(
    client: WireClient, partitions: Sequence[Partition], timestamp: int, isolation: int
) -> dict[Partition, int]:
    asked: dict[str, list[dict[str, int]]] = {}
    for topic, number in partitions:
        asked.setdefault(topic, []).append({"partition_index": number, "timestamp": timestamp})
    topics = [{"name": topic, "partitions": asked[topic]} for topic in asked]
    answer = client.ask("ListOffsets", 7, replica_id=-1, isolation_level=isolation, topics=topics)
    found = {}
    for topic in answer.topics:
        for partition in topic.partitions:
            assert partition.error_code == 0, f"{topic.name} is not served: {partition}"
            found[topic.name, partition.partition_index] = int(partition.offset)
    return found


def _last_batch(client: WireClient, topic: str, number: int, offset: int) -> bytes:
    """With the record at an offset, the last of all."""
    asked = {"partition": number, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
    answer = client.ask(
        "Fetch",
        11,
        replica_id=-1,
        max_wait=1000,
        min_bytes=1,
        max_bytes=1 << 20,
        session_epoch=-1,
        topics=[{"topic": topic, "partitions": [asked]}],
    )
    (partition,) = answer.responses[0].partitions
    assert partition.error_code == 0, partition
    return bytes(partition.records)


def _offsets_of(client: WireClient, group: str) -> list[tuple[int, int]]:
    topics = [{"name": ORDERS, "partition_indexes": [*range(TOPICS[ORDERS][0])]}]
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        answer: Any = client.ask("OffsetFetch", 7, group_id=group, topics=topics)
        if int(answer.error_code) not in _RETRIABLE:
            break
        assert time.monotonic() < deadline
    assert answer.error_code == 0, answer
    (topic,) = answer.topics
    return [(p.partition_index, int(p.committed_offset)) for p in topic.partitions]
