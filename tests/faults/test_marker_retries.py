"""Markers that a full disk does not take: tried again, less and less often, and said so seldom."""

import errno
import logging
from pathlib import Path

import pytest

import barnabas
from barnabas.testing import faults
from clients.test_virtual_clock import make_producer
from faults.test_compaction import await_true

PARTITIONS = 3


def test_markers_are_tried_again_without_a_line_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = barnabas.VirtualClock()
    with barnabas.Broker(tmp_path, clock=clock) as broker:
        broker.create_topic("t", partitions=PARTITIONS)
        producer = make_producer(broker, **{"transactional.id": "x"})
        producer.init_transactions(20)
        producer.begin_transaction()
        for partition in range(PARTITIONS):
            producer.produce("t", b"v", partition=partition)
        assert producer.flush(20) == 0

        def stable() -> list[int]:
            core = broker.services.core
            return [core.partition_info("t", n).last_stable_offset for n in range(PARTITIONS)]

        with faults.fail("write", "*/t-?/*.log", error=errno.ENOSPC) as fault:
            producer.commit_transaction(20)  # what is decided is answered
            await_true(lambda: fault.struck >= PARTITIONS)
            clock.advance(minutes=10)
            tries = fault.struck
            assert stable() == [0] * PARTITIONS
        lines = [line for line in caplog.messages if "cannot write a marker" in line]
        assert PARTITIONS <= len(lines) <= 8 * PARTITIONS
        assert all(record.levelno == logging.ERROR for record in caplog.records)
        assert tries < 100 * PARTITIONS
        clock.advance(seconds=10)
        await_true(lambda: stable() == [2] * PARTITIONS)
