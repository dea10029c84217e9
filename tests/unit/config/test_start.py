"""From files and options to what a broker starts with."""

from pathlib import Path

import pytest

from barnabas.config.listeners import Address, parse_address
from barnabas.config.start import StartConfig, make_start_config, read_properties
from barnabas.errors import ConfigError

KAFKAS_OWN = """
process.roles=broker,controller
node.id=7
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://localhost:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://kafka.example:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL
num.network.threads=3
log.dirs=/tmp/kraft-combined-logs
log.retention.hours=168
"""


def start(**settings: str) -> StartConfig:
    layer = {name.replace("_", "."): value for name, value in settings.items()}
    return make_start_config([("test", layer)])


def test_kafkas_own_server_properties_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "server.properties"
    file.write_text(KAFKAS_OWN)
    config = make_start_config([(str(file), read_properties(file))])
    assert config.listen == Address("localhost", 9092)
    assert config.advertised == Address("kafka.example", 9092)
    assert config.data_dir == Path("/tmp/kraft-combined-logs")
    assert config.config.get("node.id") == 7
    assert config.unused_keys == (
        "controller.quorum.bootstrap.servers",
        "inter.broker.listener.name",
        "process.roles",
    )


def test_nothing_set_is_a_broker_on_loopback() -> None:
    config = start()
    assert config.listen == Address("127.0.0.1", 9092)
    assert config.advertised == config.listen
    assert config.data_dir == Path("barnabas-data")


def test_later_layers_are_stronger() -> None:
    config = make_start_config(
        [("file", {"num.partitions": "2", "node.id": "5"}), ("set", {"num.partitions": "3"})],
        data_dirs=[Path("/d")],
    )
    assert config.config.get("num.partitions") == 3
    assert config.config.get("node.id") == 5
    assert config.data_dir == Path("/d")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nope": "1"}, "test: unknown configuration key nope"),
        ({"num.partition": "1"}, "key num.partition; did you mean num.partitions"),
        ({"retention.ms": "1"}, "retention.ms: it is a topic's, the broker's is log.retention.ms"),
        ({"num_partitions": "0"}, "Invalid value 0 for configuration num.partitions"),
        ({"listeners": "0.0.0.0:9092"}, "listeners: '0.0.0.0:9092' is not NAME://HOST:PORT"),
        ({"listeners": "PLAINTEXT://127.0.0.1:70000"}, "is not NAME://HOST:PORT"),
        ({"listeners": "SSL://127.0.0.1:1"}, "listeners: SSL is SSL; only PLAINTEXT"),
        ({"listeners": "PLAINTEXT://:1,A://:2"}, "2 listeners for clients"),
        ({"listeners": "PLAINTEXT://0.0.0.0:1"}, "allow.insecure.listeners=true"),
        ({"listeners": "PLAINTEXT://:1"}, "allow.insecure.listeners=true"),
        ({"listeners": "PLAINTEXT://192.168.0.1:1"}, "allow.insecure.listeners=true"),
        ({"log_dirs": "/a,/b,/a/../b"}, "log.dirs: /a/../b is there twice"),
        ({"log_dirs": ""}, "Invalid value [] for configuration log.dirs: There must be one at lea"),
        ({"log_dirs": " \t "}, "Invalid value [] for configuration log.dirs: There must be one at"),
        ({"log_dir": "", "log_dirs": "/a"}, "Invalid value [] for configuration log.dir: There mu"),
    ],
)
def test_what_cannot_be_used_is_named(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        start(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "[::1]"])
def test_loopback_needs_no_permission(host: str) -> None:
    assert start(listeners=f"PLAINTEXT://{host}:0").listen.host == host.strip("[]")


def test_an_insecure_listener_can_be_allowed() -> None:
    config = start(listeners="PLAINTEXT://0.0.0.0:1", allow_insecure_listeners="true")
    assert config.listen == Address("0.0.0.0", 1)


def test_the_older_name_of_the_node_id_counts_when_the_newer_is_not_set() -> None:
    assert start(broker_id="4").config.get("node.id") == 4
    assert start(broker_id="4", node_id="5").config.get("node.id") == 5
    assert start(broker_id="-1").config.get("node.id") == 1


def test_no_listener_at_all_is_named() -> None:
    with pytest.raises(ConfigError, match="listeners: none given"):
        start(listeners="")


@pytest.mark.parametrize("listener", ["PLAINTEXT://no.such.host.invalid:1", "PLAINTEXT://a..b:1"])
def test_a_host_that_cannot_be_looked_up_is_named(listener: str) -> None:
    with pytest.raises(ConfigError, match=r"listeners: host .* cannot be looked up"):
        start(listeners=listener)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "[::]"])
def test_clients_of_a_listener_on_every_interface_are_told_the_machines_name(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr("socket.getfqdn", lambda: "localhost")
    open_to_all = {"allow_insecure_listeners": "true", "listeners": f"PLAINTEXT://{host}:9"}
    assert start(**open_to_all).advertised == Address("localhost", 9)
    told = start(**open_to_all, advertised_listeners="PLAINTEXT://:10")
    assert told.advertised == Address("localhost", 10)
    monkeypatch.setattr("socket.getfqdn", lambda: "no.such.host.invalid")
    with pytest.raises(ConfigError, match=r"no\.such\.host\.invalid.*--advertise"):
        start(**open_to_all)
    told = start(**open_to_all, advertised_listeners="PLAINTEXT://10.0.0.1:10")
    assert told.advertised == Address("10.0.0.1", 10)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_clients_cannot_be_told_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ConfigError, match=r"advertised\.listeners cannot use the nonroutable meta"):
        start(advertised_listeners=f"PLAINTEXT://{host}:9092")


def test_a_port_that_cannot_be_is_named() -> None:
    with pytest.raises(ConfigError, match="--listen: port 65536 of 'h:65536' is not within 0 and"):
        parse_address("h:65536", "--listen")


@pytest.mark.parametrize("text", ["9099", "h", "h:x", "h:-1", "h:65536", ":", "::1", "::1:9092"])
def test_a_bad_address_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="--listen: "):
        parse_address(text, "--listen")


def test_an_address_is_host_and_port_and_of_ipv6_in_brackets() -> None:
    assert parse_address("h:9092", "--listen") == Address("h", 9092)
    assert str(parse_address("[::1]:5", "--listen")) == "[::1]:5"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"node.id=1\n\nnonsense\n", "line 3: unknown configuration key nonsense"),
        (b"this is nonsense", "line 1: unknown configuration key this"),
        (b"num.partitions", "line 1: Invalid value  for configuration num.partitions"),
        (b"#\nnum.partitions=x", "line 2: Invalid value x for configuration num.partitions"),
        (b"num.partitions=1\n=2", "line 2: '=2' has no key"),
        (b"a=\xff", "it is no text in UTF-8"),
    ],
)
def test_what_is_wrong_in_a_file_is_found(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "server.properties"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        make_start_config([(str(path), read_properties(path))])
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_bad_value_of_a_file_does_not_matter_when_another_is_stronger(tmp_path: Path) -> None:
    path = tmp_path / "server.properties"
    path.write_text("num.partitions=x\n")
    layers = [(str(path), read_properties(path)), ("command line", {"num.partitions": "2"})]
    assert make_start_config(layers).config.get("num.partitions") == 2


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_properties(tmp_path / name)
    assert str(caught.value).startswith(f"cannot read {tmp_path / name}: ")
    assert "[Errno" not in str(caught.value)


def test_a_file_of_an_older_kafka_starts_with_warnings(tmp_path: Path) -> None:
    path = tmp_path / "server.properties"
    path.write_text("num.partitions=3\nzookeeper.connect=zk:2181\n", encoding="utf-8-sig")
    start = make_start_config([(str(path), read_properties(path))], data_dirs=[tmp_path])
    assert start.config.get("num.partitions") == 3
    assert start.unused_keys == ("zookeeper.connect",)
