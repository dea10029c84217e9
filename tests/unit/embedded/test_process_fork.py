"""Producers, consumers and logs in a child of os.fork(): what the parent has open stays its own."""

import asyncio
import gc
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import barnabas
from barnabas.errors import BrokerClosed


def in_child(check: Callable[[], object], seconds: int = 30) -> None:
    """Runs `check` in a forked child, which ends without cleaning up."""
    import signal

    pid = os.fork()
    if pid == 0:
        signal.alarm(seconds)
        try:
            check()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_producer_writes_nothing_in_a_child() -> None:
    with barnabas.Broker() as broker:
        broker.create_topic("t")
        producer = broker.producer(linger_ms=3_600_000)
        delivery = producer.send("t", b"parents")
        bulk = producer.send_many("t", [b"bulk"])
        lingering = producer.send("t", b"lingers")

        def check() -> None:
            assert delivery.result().offset == 0, "what is done is known here, too"
            assert bulk.result() == [(0, 1, 1)]
            for refused in (
                lambda: producer.send("t", b"child"),
                lambda: producer.send("t", b"child" * 100_000),
                lambda: producer.send_many("t", [b"child"]),
                producer.flush,
                lingering.result,
                lambda: lingering.result(1),
                lambda: lingering.add_done_callback(print),
            ):
                with pytest.raises(BrokerClosed, match="forked"):
                    refused()

            async def wait() -> None:
                await lingering

            with pytest.raises(BrokerClosed, match="forked"):
                asyncio.run(wait())

            producer.close()

        in_child(check)
        assert producer.send("t", b"after").result().offset == 3
        consumer = broker.consumer(["t"], auto_offset_reset="earliest", timeout=0)
        values = [value for batch in consumer for value in batch.values]
        assert values == [b"parents", b"bulk", b"lingers", b"after"]


def test_what_was_not_durable_at_the_fork_is_not_waited_for_in_a_child() -> None:
    with barnabas.Broker() as broker:
        broker.create_topic("t", config={"flush.messages": 1})
        with broker.faults.disk.hold("sync", "*/t-0/*.log") as held:
            bulk = broker.producer().send_many("t", [b"v"])
            assert not bulk.done()

            def check() -> None:
                async def wait() -> None:
                    await bulk

                with pytest.raises(BrokerClosed, match="forked"):
                    bulk.result()
                with pytest.raises(BrokerClosed, match="forked"):
                    asyncio.run(wait())

            in_child(check, 10)
        assert held.struck == 1
        assert bulk.result(10) == [(0, 0, 1)]


def test_a_child_that_drops_everything_changes_nothing(tmp_path: Path) -> None:
    broker = barnabas.Broker(tmp_path / "broker")
    broker.create_topic("t")
    clients: list[Any] = [broker.producer(linger_ms=3_600_000)]
    lingering = clients[0].send("t", b"lingers")
    clients.append(broker.consumer(["t"], auto_offset_reset="earliest"))
    clients[1].poll(0)
    log = barnabas.Log(tmp_path / "log-0")
    log.append([(None, b"v")])
    held: dict[str, Any] = {
        "broker": broker,
        "clients": clients,
        "log": log,
        "lingering": lingering,
    }
    del broker, clients, log, lingering

    def check() -> None:
        held.clear()
        gc.collect()

    in_child(check)
    assert held["log"].append([(None, b"v")]) == 1
    held["log"].close()
    with barnabas.Log(tmp_path / "log-0") as log:
        assert not log.recovery.checked, "the stop was clean"
        assert len(list(log)) == 2
    assert held["lingering"].result().offset == 0
    held["broker"].close()


def test_a_log_is_its_process_own(tmp_path: Path) -> None:
    log = barnabas.Log(tmp_path / "log-0")
    log.append([(None, b"v")])

    def check() -> None:
        for refused in (
            lambda: log.append([(None, b"child")]),
            log.flush,
            log.roll,
            lambda: log.truncate(0),
            lambda: list(log),
            lambda: log.end_offset,
        ):
            with pytest.raises(ValueError, match="forked"):
                refused()
        log.close()
        with pytest.raises(barnabas.CoreError, match="in use"):
            barnabas.Log(tmp_path / "log-0")

    in_child(check)
    assert log.append([(None, b"v")]) == 1
    log.close()


def test_a_consumer_reads_nothing_in_a_child() -> None:
    with barnabas.Broker() as broker:
        broker.create_topic("t")
        broker.producer().send("t", b"v").result()
        consumer = broker.consumer(["t"], auto_offset_reset="earliest")
        consumer.poll(0)
        consumer.seek_to_end()

        def check() -> None:
            with pytest.raises(BrokerClosed, match="forked"):
                consumer.poll(0)

        in_child(check)


@pytest.mark.parametrize("kind", ["broker", "log"])
def test_what_is_closed_can_be_opened_again_while_a_child_lives(tmp_path: Path, kind: str) -> None:
    def open_it() -> barnabas.Broker | barnabas.Log:
        return barnabas.Broker(tmp_path / "d") if kind == "broker" else barnabas.Log(tmp_path / "d")

    first = open_it()
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writes)
        os.read(reads, 1)
        os._exit(0)
    try:
        first.close()
        open_it().close()
    finally:
        os.close(writes)
        os.close(reads)
        os.waitpid(pid, 0)
