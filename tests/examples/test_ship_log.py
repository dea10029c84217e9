"""examples/ship_log.py: every line once and in order, through restarts and rotation."""

import signal
import subprocess
import sys
from pathlib import Path

from confluent_kafka import Consumer

import barnabas
from peers.processes import wait_until

PROGRAM = Path(__file__).parents[2] / "examples" / "ship_log.py"


def ship(broker: barnabas.Broker, log: Path, topic: str) -> str:
    command = [*follow(broker, log, topic), "--once"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def follow(broker: barnabas.Broker, log: Path, topic: str) -> list[str]:
    return [sys.executable, str(PROGRAM), str(log), topic, "-b", broker.bootstrap_servers]


def read(broker: barnabas.Broker, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": f"{topic}-reader",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    while len(values) < count:
        messages = consumer.consume(count - len(values), 20)
        assert messages, values
        values += [message.value() or b"" for message in messages]
    assert consumer.poll(0.5) is None  # and no more
    consumer.close()
    return values


def test_a_restart_goes_on_where_it_was(
    barnabas_broker: barnabas.Broker, barnabas_topic: str, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    log.write_text("one\ntwo\nhal")
    assert ship(barnabas_broker, log, barnabas_topic) == "2 lines shipped\n"
    with log.open("a") as file:
        file.write("f\nlast\n")
    assert ship(barnabas_broker, log, barnabas_topic) == "2 lines shipped\n"
    assert ship(barnabas_broker, log, barnabas_topic) == "0 lines shipped\n"
    assert read(barnabas_broker, barnabas_topic, 4) == [b"one", b"two", b"half", b"last"]


def test_a_rotated_log_is_followed(
    barnabas_broker: barnabas.Broker, barnabas_topic: str, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    log.write_text("old\n")
    command = follow(barnabas_broker, log, barnabas_topic)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shipper:
        shipped = tmp_path / "app.log.shipped"
        wait_until(shipped.exists, 30, "the first line to be shipped")
        log.rename(tmp_path / "app.log.1")
        log.write_text("new\n")
        inode = str(log.stat().st_ino)
        wait_until(lambda: inode in shipped.read_text(), 30, "the new log to be shipped")
        shipper.send_signal(signal.SIGTERM)
        assert shipper.communicate(timeout=30)[0] == "2 lines shipped\n"
    assert read(barnabas_broker, barnabas_topic, 2) == [b"old", b"new"]
