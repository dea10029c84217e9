"""Reads what a broker holds, when nobody writes, and checks it."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from faults.load import RECONNECT
from faults.soak.checks import Content, Finding, Found, Kind, check_partition, check_transactions
from faults.soak.history import ID_HEADER, History, Partition

TIMEOUT_S = 30.0
STABLE_TIMEOUT_S = 10.0
LOOK_UPS = 25  # by time and by offset, in each partition


def new_consumer(bootstrap: str, *, committed: bool = False, group: str = "unused") -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "check.crcs": True,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            **RECONNECT,
        }
    )


def found_in(message: Message) -> Found:
    headers = dict(message.headers() or ())
    identity, key, value = headers.get(ID_HEADER, b""), message.key(), message.value()
    offset = message.offset()
    assert offset is not None
    return Found(
        offset,
        message.timestamp()[1],
        identity.decode() if isinstance(identity, bytes) else str(identity),
        key.decode() if isinstance(key, bytes) else key,
        value if isinstance(value, bytes) else None,
    )


class Auditor:
    """One look at all there is."""

    def __init__(
        self, bootstrap: str, history: History, log_dirs: Sequence[Path], rng: random.Random
    ) -> None:
        self.bootstrap = bootstrap
        self.history = history
        self.log_dirs = log_dirs
        self.rng = rng
        self.records = 0

    def audit(self) -> list[Finding]:
        findings = [Finding(Kind.REFUSED, "", what) for what in self.history.refusals]
        contents = []
        for partition in list(self.history.partitions.values()):
            content = self._read(partition, 0 if findings else STABLE_TIMEOUT_S)
            if content.stable < content.high and not findings:
                what = f"stable up to {content.stable} of {content.high}"
                findings.append(Finding(Kind.UNSTABLE, str(partition), what))
            contents.append((partition, content))
            self.records += len(content.all)
            findings += check_partition(partition, content)
            if not content.torn and not partition.compacted:
                findings += self._check_look_ups(partition, content)
        findings += check_transactions(self.history.transactions, contents)
        findings += self._check_commits()
        findings += self._check_topics()
        return findings

    def _read(self, partition: Partition, stable_timeout_s: float) -> Content:
        with closing(new_consumer(self.bootstrap)) as consumer:
            # A broker that has just started may not be known again to this client yet.
            low, high = watermarks(consumer, partition)
            content = Content(low, high)
            content.all = list(self._records(consumer, partition, low, content))
        if partition.transactional or partition.compacted:
            with closing(new_consumer(self.bootstrap, committed=True)) as consumer:
                content.stable = self._await_stable(consumer, partition, high, stable_timeout_s)
                content.committed = list(self._records(consumer, partition, low, content))
        else:
            content.committed = content.all
            content.stable = high
        if partition.retention_bytes is not None:
            files = (
                path for place in self.log_dirs for path in (place / str(partition)).glob("*.log")
            )
            content.bytes_on_disk = sum(path.stat().st_size for path in files)
        return content

    def _await_stable(
        self, consumer: Consumer, partition: Partition, end: int, timeout_s: float
    ) -> int:
        """Markers may be on their way, of transactions whose producer has gone on."""
        deadline = time.monotonic() + timeout_s
        while (stable := watermarks(consumer, partition)[1]) < end:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return stable

    def _records(
        self, consumer: Consumer, partition: Partition, offset: int, content: Content
    ) -> Iterator[Found]:
        consumer.assign([TopicPartition(partition.topic, partition.index, offset)])
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            assert time.monotonic() < deadline, f"{partition} is not read to its end"
            for message in consumer.consume(5000, 0.02):
                error = message.error()
                if error is None:
                    yield found_in(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    return
                elif error.code() in (KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION):
                    content.torn.append(f"{error} at {message.offset()}")
                    return

    def _check_look_ups(self, partition: Partition, content: Content) -> list[Finding]:
        if not content.all:
            return []
        findings = []
        offsets = {found.offset for found in content.all}
        with closing(new_consumer(self.bootstrap)) as consumer:
            for asked in self.rng.choices(content.all, k=LOOK_UPS):
                expected = next(f for f in content.all if f.timestamp_ms >= asked.timestamp_ms)
                (found,) = consumer.offsets_for_times(
                    [TopicPartition(partition.topic, partition.index, asked.timestamp_ms)],
                    timeout=TIMEOUT_S,
                )
                # A marker has a time, too, and no record.
                marker = 0 <= found.offset < expected.offset and found.offset not in offsets
                if found.offset != expected.offset and not marker:
                    what = f"{asked.timestamp_ms}: {found.offset}, not {expected.offset}"
                    findings.append(Finding(Kind.TIMESTAMP, str(partition), what))
            for asked in self.rng.choices(content.all, k=LOOK_UPS):
                consumer.assign([TopicPartition(partition.topic, partition.index, asked.offset)])
                first = consumer.poll(TIMEOUT_S)
                assert first is not None
                if first.error() is not None or first.offset() != asked.offset:
                    what = f"a reader that begins at {asked.offset} is given {first.offset()}"
                    findings.append(Finding(Kind.GAP, str(partition), what))
        return findings[:3]

    def _check_commits(self) -> list[Finding]:
        findings = []
        for (group, topic, index), commits in list(self.history.commits.items()):
            with closing(new_consumer(self.bootstrap, group=group)) as consumer:
                (found,) = consumer.committed([TopicPartition(topic, index)], timeout=TIMEOUT_S)
            if found.error is not None:
                raise KafkaException(found.error)
            if not commits.acknowledged <= max(found.offset, 0) <= commits.asked:
                what = f"{found.offset}, acknowledged {commits.acknowledged}"
                findings.append(Finding(Kind.COMMIT_LOST, f"{group} {topic}-{index}", what))
        return findings

    def _check_topics(self) -> list[Finding]:
        with closing(new_consumer(self.bootstrap)) as consumer:
            known = set(consumer.list_topics(timeout=TIMEOUT_S).topics)
        findings = [
            Finding(Kind.RESURRECTED, topic, "a topic whose deletion was acknowledged")
            for topic in sorted(self.history.deleted_topics & known)
        ]
        findings += [
            Finding(Kind.LOST, topic, "a topic whose creation was acknowledged")
            for topic in sorted(self.history.made_topics - known)
        ]
        return findings


def watermarks(consumer: Consumer, partition: Partition) -> tuple[int, int]:
    at = TopicPartition(partition.topic, partition.index)
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            found = consumer.get_watermark_offsets(at, timeout=TIMEOUT_S)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        assert found is not None
        return found
