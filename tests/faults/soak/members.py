"""Members of a group that join and leave at random, and what must be true of what they commit."""

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from faults.load import RECONNECT
from faults.soak.actors import Actor
from faults.soak.checks import Finding, Kind
from faults.soak.history import Commits, History

TIMEOUT_S = 10.0
SESSION_TIMEOUT_MS = 12_000  # half of that of this time, see served.py
POLL_S = 0.05
POLLS = 200  # in a step
STAYS_STEPS = (5, 60)  # how long a member stays
STATIC = 0.3  # of the memberships: such a member is missed only when its session is over


class Member(Actor):
    """One after the other: joins, reads, commits, leaves. Whoever is given a partition must find
    there what was committed last, and every record from there on.
    """

    def __init__(
        self,
        name: str,
        bootstrap: str,
        history: History,
        seed: float,
        *,
        group: str,
        topic: str,
    ) -> None:
        super().__init__(name, bootstrap, history, seed)
        self.group = group
        self.topic = topic
        self.findings: list[Finding] = []
        self.joins = 0
        self.assignments = 0
        self._commits: dict[int, Commits] = {
            partition.index: history.commits.setdefault(
                (group, topic, partition.index), Commits(group)
            )
            for partition in history.partitions.values()
            if partition.topic == topic
        }
        self._positions: dict[int, int] = {}
        self._left_steps = 0
        self._consumer: Consumer | None = None

    def step(self) -> None:
        if self._consumer is None:
            self._join()
        assert self._consumer is not None
        self._left_steps -= 1
        self._read(self._consumer)
        if self.rng.random() < 0.5:
            self._commit(self._consumer)
        if self._left_steps <= 0:
            self._leave()

    def end(self) -> None:
        self._leave()

    def _read(self, consumer: Consumer) -> None:
        # One by one: of several some may have been fetched before a rebalance in between.
        timeout_s = POLL_S
        for _ in range(POLLS):
            message = consumer.poll(timeout_s)
            if message is None:
                return
            timeout_s = 0
            index, offset = message.partition(), message.offset()
            if message.error() is not None or index not in self._positions:
                continue
            assert index is not None
            assert offset is not None
            expected = self._positions[index]
            if offset != expected:
                kind = Kind.GAP if offset > expected else Kind.REORDERED
                self._find(kind, index, f"{self.name} was given {offset}, not {expected}")
            self._positions[index] = offset + 1

    def _join(self) -> None:
        self.joins += 1
        self._left_steps = self.rng.randrange(*STAYS_STEPS)
        settings: dict[str, str | int | bool] = {
            "bootstrap.servers": self.bootstrap,
            "group.id": self.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": 300,
            "partition.assignment.strategy": "range",
            "check.crcs": True,
            **RECONNECT,
        }
        if self.rng.random() < STATIC:
            settings["group.instance.id"] = self.name
        self._consumer = Consumer(settings)
        self._consumer.subscribe(
            [self.topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )

    def _leave(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._positions.clear()

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self.assignments += 1
        before = {at.partition: self._commits[at.partition].acknowledged for at in partitions}
        found = self._committed(consumer, partitions)
        if found is None:
            return
        for at in found:
            commits, offset = self._commits[at.partition], max(at.offset, 0)
            if not before[at.partition] <= offset <= commits.asked:
                what = f"{self.name} is to go on at {offset}, {before[at.partition]} was committed"
                self._find(Kind.COMMIT_LOST, at.partition, what)
            at.offset = self._positions[at.partition] = offset
        consumer.assign(found)

    def _committed(
        self, consumer: Consumer, partitions: Sequence[TopicPartition]
    ) -> list[TopicPartition] | None:
        """Asked for until it is known; None when the load ends before that."""
        while not self.stopping.is_set():
            try:
                found = consumer.committed(list(partitions), timeout=TIMEOUT_S)
            except KafkaException:
                time.sleep(POLL_S)
                continue
            if all(at.error is None for at in found):
                return found
        return None

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        for at in partitions:
            self._positions.pop(at.partition, None)

    def _commit(self, consumer: Consumer) -> None:
        """Refused when the member is none any more, or the broker is down."""
        offsets = [
            TopicPartition(self.topic, index, position)
            for index, position in self._positions.items()
        ]
        if not offsets:
            return
        for at in offsets:
            self._commits[at.partition].ask(at.offset)
        try:
            done = consumer.commit(offsets=offsets, asynchronous=False) or []
        except KafkaException:
            return
        for at in done:
            if at.error is None:
                self._commits[at.partition].acknowledge(at.offset)

    def _find(self, kind: Kind, index: int, what: str) -> None:
        if not self.findings:
            self.findings.append(Finding(kind, f"{self.group} {self.topic}-{index}", what))
