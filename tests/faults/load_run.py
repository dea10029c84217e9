"""All the load there is on one topic at once, and the proof afterwards that nothing was lost."""

import random
import time
from collections.abc import Sequence

from clients.contract import create_topic
from faults.load import (
    AiokafkaLoad,
    CommitLoad,
    ConfluentLoad,
    FollowLoad,
    LoadThread,
    PartitionReader,
    Sent,
)

PARTITIONS = 3
SERVED_TIMEOUT_S = 30.0
CODECS = ("none", "lz4", "zstd")  # of one librdkafka producer each


class LoadRun:
    """Four idempotent producers, a committing consumer and one that waits for what comes."""

    def __init__(self, bootstrap: str, rng: random.Random) -> None:
        topic = create_topic(bootstrap, PARTITIONS)
        count = len(CODECS) + 1
        self.sents = [Sent(f"p{i}", PARTITIONS, random.Random(rng.random())) for i in range(count)]
        self.committer = CommitLoad(bootstrap, topic, PARTITIONS)
        self.reader = PartitionReader(bootstrap, topic, PARTITIONS)
        self._threads: Sequence[LoadThread] = [
            *(
                ConfluentLoad(sent, bootstrap, topic, codec)
                for sent, codec in zip(self.sents, CODECS, strict=False)
            ),
            AiokafkaLoad(self.sents[-1], bootstrap, topic),
            FollowLoad(bootstrap, topic, PARTITIONS),
            self.committer,
        ]
        for thread in self._threads:
            thread.start()

    def wait_until_served(self) -> None:
        """Returns when every producer has got something acknowledged from now on: now all hurry."""
        before = [sent.acknowledged_count() for sent in self.sents]
        deadline = time.monotonic() + SERVED_TIMEOUT_S
        while not all(s.acknowledged_count() > b for s, b in zip(self.sents, before, strict=True)):
            assert time.monotonic() < deadline, "a producer got nothing acknowledged"
            time.sleep(0.005)
        for thread in self._threads:
            thread.hurrying.set()

    def check(self) -> None:
        """Reads what is there; raises on a loss, a duplicate, a reordering, a failed client.

        Little is sent from now on until all are served: no kill can hit it.
        """
        for thread in self._threads:
            thread.hurrying.clear()
        self.reader.read_to_end()
        for thread in self._threads:
            if thread.failure is not None:
                raise thread.failure

    def finish(self) -> None:
        """Ends the load; each acknowledged record must be where its producer was told."""
        for thread in self._threads:
            thread.finish()
        self.reader.read_to_end()
        for sent in self.sents:
            assert sent.errors == []
            for partition, count in sent.next_number.items():
                assert len(sent.acknowledged[partition]) == count
                assert self.reader.offsets[sent.name][partition] == sent.acknowledged[partition]

    @property
    def records(self) -> int:
        """How many records have been read."""
        return sum(self.reader.positions.values())
