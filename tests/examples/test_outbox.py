"""examples/outbox.py: each event once, in order, whatever is killed and started twice."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

import barnabas
from peers.processes import Child, wait_until

PROGRAM = Path(__file__).parents[2] / "examples" / "outbox.py"
ORDERS = 300
KILLS = 6
TIMEOUT_S = 60


class Shop:
    """A database, and the relay from it to a topic of a broker."""

    def __init__(self, broker: barnabas.Broker, topic: str, directory: Path) -> None:
        self.database = directory / "shop.db"
        self._broker = broker
        self._topic = topic
        self._directory = directory
        self.start_relay().terminate()  # makes the tables

    def order(self, customer: str, goods: str) -> int:
        topic = ["--topic", self._topic]
        return int(run("order", str(self.database), customer, goods, *topic))

    def order_many(self, numbers: range) -> None:
        """As the program does it, without starting it for each."""
        db = sqlite3.connect(self.database, timeout=TIMEOUT_S)
        for number in numbers:
            with db:
                value = json.dumps({"order": number})
                row = (self._topic, f"customer-{number % 5}", value)
                db.execute("INSERT INTO outbox (topic, key, value) VALUES (?, ?, ?)", row)
            time.sleep(0.002)
        db.close()

    def relay(self) -> str:
        return run(*self._relay(), "--once")

    def start_relay(self) -> Child:
        command = [sys.executable, str(PROGRAM), *self._relay()]
        child = Child(command, self._directory / "relays", f"relay-{time.monotonic_ns()}")
        child.wait_for(lambda: "ready" in child.stdout(), TIMEOUT_S, "the relay is ready")
        return child

    def rows(self) -> int:
        db = sqlite3.connect(self.database, timeout=TIMEOUT_S)
        (count,) = db.execute("SELECT count(*) FROM outbox").fetchone()
        db.close()
        assert isinstance(count, int)
        return count

    def read(self) -> list[dict[str, object]]:
        """The events that were committed."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._broker.bootstrap_servers,
                "group.id": "unused",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(self._topic, 0, 0)])
        events = []
        while True:
            message = consumer.poll(TIMEOUT_S)
            assert message is not None
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                break
            events.append(json.loads(message.value() or b""))
        consumer.close()
        return events

    def _relay(self) -> list[str]:
        broker = ["-b", self._broker.bootstrap_servers]
        return ["relay", str(self.database), *broker, "--name", f"{self._topic}-outbox"]


def run(*words: str) -> str:
    command = [sys.executable, str(PROGRAM), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    return done.stdout


@pytest.fixture
def shop(barnabas_broker: barnabas.Broker, barnabas_topic: str, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(barnabas_broker, barnabas_topic, tmp_path)
    yield shop
    barnabas_broker.delete_topic(f"{barnabas_topic}-outbox.position")


def test_an_order_and_its_event_go_together(shop: Shop) -> None:
    first = shop.order("anna", "two apples")
    second = shop.order("boris", "a pear")
    assert shop.relay().endswith("2 events sent\n")
    assert shop.read() == [
        {"order": first, "customer": "anna", "goods": "two apples"},
        {"order": second, "customer": "boris", "goods": "a pear"},
    ]
    assert shop.rows() == 0


def test_rows_that_a_killed_relay_had_no_time_to_delete_are_not_sent_again(shop: Shop) -> None:
    shop.order_many(range(10))
    before = shop.database.with_suffix(".before")
    shutil.copy(shop.database, before)
    assert shop.relay().endswith("10 events sent\n")
    shutil.copy(before, shop.database)
    assert shop.rows() == 10
    assert shop.relay().endswith("\n0 events sent\n")
    assert shop.rows() == 0
    assert len(shop.read()) == 10


@pytest.mark.slow
def test_each_event_comes_once_and_in_order_though_relays_are_killed(shop: Shop) -> None:
    application = threading.Thread(target=shop.order_many, args=(range(ORDERS),))
    application.start()
    for _ in range(KILLS):
        relay = shop.start_relay()
        time.sleep(random.uniform(0.01, 0.3))
        relay.kill()
    application.join()
    assert shop.rows() > 0 or len(shop.read()) == ORDERS
    shop.relay()
    assert [event["order"] for event in shop.read()] == list(range(ORDERS))


def test_a_new_relay_takes_over_from_one_that_still_runs(shop: Shop) -> None:
    old, new = shop.start_relay(), shop.start_relay()
    os.kill(new.pid, signal.SIGSTOP)  # so that the old one finds the rows first
    shop.order_many(range(6))
    wait_until(lambda: not old.is_running(), TIMEOUT_S, "the old relay notices")
    assert "the next relay goes on" in old.stderr()
    assert shop.read() == []
    os.kill(new.pid, signal.SIGCONT)
    wait_until(lambda: shop.rows() == 0, TIMEOUT_S, "the events are sent")
    assert new.terminate() == 0
    assert [event["order"] for event in shop.read()] == list(range(6))
