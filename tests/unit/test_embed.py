"""barnabas.Broker: a broker in this process."""

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from kio.schema.errors import ErrorCode

import barnabas


def produce(servers: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": servers, "acks": "all", "log_level": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def consume(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "g",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    try:
        values: list[bytes] = []
        while len(values) < count:
            messages = consumer.consume(count - len(values), 20)
            assert messages, f"only {len(values)} of {count}"
            values += [message.value() or b"" for message in messages]
        return values
    finally:
        consumer.close()


def test_clients_produce_and_consume() -> None:
    with barnabas.Broker() as broker:
        broker.create_topic("t")
        values = [b"%d" % i for i in range(100)]
        produce(broker.bootstrap_servers, "t", values)
        assert consume(broker.bootstrap_servers, "t", 100) == values


def test_several_brokers_share_a_process_and_nothing_else() -> None:
    with barnabas.Broker() as one, barnabas.Broker() as two:
        assert one.bootstrap_servers != two.bootstrap_servers
        one.create_topic("t")
        two.create_topic("t")
        produce(one.bootstrap_servers, "t", [b"one"])
        produce(two.bootstrap_servers, "t", [b"two"])
        assert consume(one.bootstrap_servers, "t", 1) == [b"one"]
        assert consume(two.bootstrap_servers, "t", 1) == [b"two"]


def test_a_temporary_directory_is_removed() -> None:
    broker = barnabas.Broker()
    directory = broker.data_dir
    assert directory.is_dir()
    broker.close()
    assert not directory.exists()


def test_a_directory_is_kept_with_its_topics(tmp_path: Path) -> None:
    with barnabas.Broker(tmp_path / "d") as broker:
        broker.create_topic("t", partitions=2, config={"retention.ms": -1, "preallocate": False})
        produce(broker.bootstrap_servers, "t", [b"kept"])
    with barnabas.Broker(tmp_path / "d") as broker:
        assert consume(broker.bootstrap_servers, "t", 1) == [b"kept"]


def test_refused_topics_raise_kafkas_error() -> None:
    with barnabas.Broker() as broker:
        broker.create_topic("t")
        with pytest.raises(barnabas.KafkaError, match="already exists") as caught:
            broker.create_topic("t")
        assert caught.value.code is ErrorCode.topic_already_exists
        with pytest.raises(barnabas.KafkaError) as caught:
            broker.delete_topic("other")
        assert caught.value.code is ErrorCode.unknown_topic_or_partition
        broker.delete_topic("t")
        broker.create_topic("t")


def test_a_closed_broker_says_so() -> None:
    broker = barnabas.Broker()
    broker.close()
    broker.close()
    with pytest.raises(barnabas.BrokerClosed):
        broker.create_topic("t")
    with pytest.raises(barnabas.BrokerClosed), broker:
        pass
    assert "closed" in repr(broker)


def test_a_broker_shows_where_it_is() -> None:
    with barnabas.Broker() as broker:
        assert broker.bootstrap_servers in repr(broker)
        assert str(broker.data_dir) in repr(broker)


def test_a_broker_on_every_interface_is_reached_by_the_machines_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: "localhost")
    everywhere: dict[str, str | bool] = {
        "listeners": "PLAINTEXT://0.0.0.0:0",
        "allow.insecure.listeners": True,
    }
    with barnabas.Broker(config=everywhere) as broker:
        assert broker.bootstrap_servers.startswith("localhost:")
        broker.create_topic("t")
        produce(broker.bootstrap_servers, "t", [b"value"])


def test_the_address_of_a_broker_on_ipv6_has_brackets() -> None:
    with barnabas.Broker(config={"listeners": "PLAINTEXT://[::1]:0"}) as broker:
        assert broker.bootstrap_servers.startswith("[::1]:")
        broker.create_topic("t")
        produce(broker.bootstrap_servers, "t", [b"value"])


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"nope": 1}, "nope"),
        ({"num.partitions": "x"}, "num.partitions"),
        ({"listeners": ""}, "listeners"),
    ],
)
def test_bad_configuration_is_named(config: dict[str, str], key: str) -> None:
    with pytest.raises(barnabas.ConfigError, match=key):
        barnabas.Broker(config=config)


@pytest.mark.parametrize("arguments", [{"data_dir": b"d"}, {"config": [1]}, {"config": {1: 2}}])
def test_arguments_of_a_wrong_type_are_type_errors(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        barnabas.Broker(**arguments)


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    with barnabas.Broker(tmp_path), pytest.raises(barnabas.StartError, match="in use"):
        barnabas.Broker(tmp_path)
    # The one that was refused has left nothing behind.
    with barnabas.Broker(tmp_path):
        pass


def test_a_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(barnabas.StartError, match=f"127.0.0.1:{port}"):
            barnabas.Broker(port=port)


def test_closing_overtakes_calls_of_other_threads() -> None:
    """Each call is done, or told that the broker is closed; none waits for ever."""
    broker = barnabas.Broker()
    outcomes: list[bool] = []

    def create(first: int) -> None:
        try:
            for number in range(first, first + 10_000):
                broker.create_topic(f"t-{number}")
        except barnabas.BrokerClosed:
            outcomes.append(True)

    threads = [threading.Thread(target=create, args=(n * 10_000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    broker.create_topic("while-busy")
    broker.close()
    for thread in threads:
        thread.join(30)
    assert outcomes == [True] * 4


def test_a_relative_directory_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    for given in ({"data_dir": "data"}, {"config": {"log.dirs": "logs"}}):
        with barnabas.Broker(**given) as broker:
            broker.producer().send("t", b"value").result()
            monkeypatch.chdir(tmp_path / "elsewhere")
            assert broker.data_dir.parent == tmp_path
            assert barnabas.scan(broker.data_dir, "t").read_all().num_rows == 1
            with (
                broker.fork() as fork,
                fork.consumer(["t"], auto_offset_reset="earliest") as reader,
            ):
                batch = reader.poll(30)
                assert batch is not None
                assert batch.values == [b"value"]
            broker.create_topic("later")
            monkeypatch.chdir(tmp_path)


def test_a_program_that_turns_sigterm_into_an_exit_leaves_no_directory() -> None:
    """As the documentation advises."""
    program = (
        "import signal, sys, barnabas\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "print(barnabas.Broker().data_dir, flush=True)\n"
        "signal.pause()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    data_dir = Path(process.stdout.readline().strip())
    assert data_dir.is_dir()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert not data_dir.exists()


AT_THE_END = """
import atexit, barnabas
broker = barnabas.Broker()
producer = broker.producer()
producer.send("t", b"before").result()

def send():
    print(producer.send("t", b"at the end").result().offset)
    for call in (lambda: producer.send("new", b""), lambda: broker.create_topic("new"), read):
        try:
            call()
        except barnabas.BrokerClosed as error:
            print(error)

def read():
    broker.consumer(["t"], group="g").poll(20)

atexit.register(send)
"""


def test_what_cannot_be_begun_at_the_end_of_a_program_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END], capture_output=True, text=True, timeout=60, check=False
    )
    told = "the program is at its end: this is not begun any more"
    assert done.stdout.splitlines() == ["1", told, told, told], done.stderr
