"""Readers of committed records beside those who write: followers, and one that begins again."""

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from faults.soak.actors import Actor
from faults.soak.audit import found_in, new_consumer
from faults.soak.checks import SHOWN, Finding, Found, Kind, check_last_values
from faults.soak.history import History, Outcome, Partition

PASS_S = 10.0  # one that takes longer, as the broker is down, is given up
PAUSE_S = 0.2  # between two


class Reader(Actor):
    """What each record that is read must be: in order, and of a transaction that is committed."""

    def __init__(
        self,
        name: str,
        bootstrap: str,
        history: History,
        seed: float,
        partitions: Sequence[Partition],
    ) -> None:
        super().__init__(name, bootstrap, history, seed)
        self.partitions = {(p.topic, p.index): p for p in partitions}
        self.findings: list[Finding] = []
        self.positions: dict[tuple[str, int], int] = {}
        self.consumer: Consumer = new_consumer(bootstrap, committed=True)

    def check(self, message: Message) -> Found:
        """Of one that is a record."""
        found = found_in(message)
        topic, index = message.topic(), message.partition()
        assert topic is not None
        assert index is not None
        at = topic, index
        partition = self.partitions[at]
        if found.offset < self.positions.get(at, 0):
            what = f"{found.offset} comes after {self.positions[at] - 1}"
            self.findings.append(Finding(Kind.REORDERED, str(partition), what))
        self.positions[at] = found.offset + 1
        sent = partition.sent.get(found.identity)  # if there is none the audit tells
        transaction = sent.transaction if sent is not None else None
        outcome = transaction.outcome if transaction is not None else None
        what = f"{found.identity!r} at {found.offset}"
        if outcome is Outcome.OPEN:
            self.findings.append(Finding(Kind.UNDECIDED_SEEN, str(partition), what))
        elif outcome in (Outcome.ABORTING, Outcome.ABORTED):
            self.findings.append(Finding(Kind.ABORTED_SEEN, str(partition), what))
        return found

    def end(self) -> None:
        self.consumer.close()


class Follower(Reader):
    """Reads records as they come."""

    def begin(self) -> None:
        self.consumer.assign([TopicPartition(*at, 0) for at in self.partitions])

    def step(self) -> None:
        for message in self.consumer.consume(500, 0.05):
            if message.error() is None:
                self.check(message)


class Rereader(Reader):
    """Reads compacted partitions from their start to their end again and again, while they are
    written to, compacted and moved: what was a key's last record when a pass began is there.
    """

    passes = 0  # that have come to the end

    def step(self) -> None:
        partition = self.rng.choice(list(self.partitions.values()))
        needed = partition.last_of_keys()
        last: dict[str | None, int] = {}
        self.positions.clear()
        self.consumer.assign([TopicPartition(partition.topic, partition.index, 0)])
        deadline = time.monotonic() + PASS_S
        while time.monotonic() < deadline and not self.stopping.is_set():
            for message in self.consumer.consume(500, 0.05):
                error = message.error()
                if error is None:
                    found = self.check(message)
                    last[found.key] = found.offset
                elif error.code() == KafkaError._PARTITION_EOF:
                    end = message.offset() or 0
                    self.findings += [
                        Finding(kind, str(partition), f"{what}, up to {end}")
                        for kind, what in check_last_values(needed, last, end)
                    ][:SHOWN]
                    self.passes += 1
                    self.stopping.wait(PAUSE_S)
                    return
