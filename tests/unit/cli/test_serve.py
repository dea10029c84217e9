"""`barnabas serve` as a user runs it: what it says, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unit.wire import WireClient

SERVE = (sys.executable, "-m", "barnabas", "serve")


@contextmanager
def serving(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A running broker and the address it is ready on."""
    process = subprocess.Popen(
        [*SERVE, "--listen", "127.0.0.1:0", *arguments],  # the last of an option counts
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("barnabas ready on "), ready
        yield process, ready.split()[-1]
    finally:
        process.kill()
        process.communicate()


def refusal(*arguments: str) -> str:
    """The one line of a start that fails."""
    done = subprocess.run(
        [*SERVE, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("barnabas: ")
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with serving("--data-dir", str(tmp_path / "d")) as (process, address):
        with WireClient(address) as client:
            assert client.ask("ApiVersions", 0).error_code == 0
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert stdout == ""  # the ready line is the only one
    assert (tmp_path / "d" / ".kafka_cleanshutdown").exists()
    assert f"stopping: {number.name}" in stderr
    assert "stopped" in stderr


def test_the_banner_says_what_runs_where(tmp_path: Path) -> None:
    with serving("--data-dir", str(tmp_path / "d")) as (process, address):
        process.terminate()
        _, stderr = process.communicate(timeout=30)
    assert str(tmp_path / "d") in stderr
    assert address in stderr
    assert "Barnabas 0" in stderr
    assert "threads" in stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_broker_needs_no_openssl(tmp_path: Path) -> None:
    """It is an eighth of the memory of a broker that has nothing to do."""
    with serving("--data-dir", str(tmp_path / "d")) as (process, _):
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
    assert "_core" in mapped
    assert "libssl" not in mapped
    assert "libcrypto" not in mapped


def test_each_key_without_effect_gives_one_warning(tmp_path: Path) -> None:
    properties = tmp_path / "server.properties"
    properties.write_text("num.replica.fetchers=1\nnum.partitions=2\nssl.protocol=x\n")
    arguments = ("--data-dir", str(tmp_path / "d"), "--log-format", "json")
    with serving(*arguments, "--config", str(properties)) as (process, _):
        process.terminate()
        _, stderr = process.communicate(timeout=30)
    lines = [json.loads(line) for line in stderr.splitlines()]
    warnings = [line["message"] for line in lines if line["level"] == "warning"]
    assert len(warnings) == 2
    assert "num.replica.fetchers" in warnings[0]
    assert "ssl.protocol" in warnings[1]
    assert {"time", "level", "component", "message"} <= lines[0].keys()
    (banner,) = [line["message"] for line in lines if "Barnabas 0" in line["message"]]
    assert str(tmp_path / "d") in banner
    assert "threads" in banner


def test_a_bad_key_or_value_is_named(tmp_path: Path) -> None:
    directory = ("--data-dir", str(tmp_path / "d"))
    assert "nope" in refusal(*directory, "--set", "nope=1")
    assert "num.partitions" in refusal(*directory, "--set", "num.partitions=none")
    assert not (tmp_path / "d").exists()


def test_a_listener_off_loopback_must_be_meant(tmp_path: Path) -> None:
    directory = ("--data-dir", str(tmp_path / "d"))
    assert "--insecure" in refusal(*directory, "--listen", "0.0.0.0:0")


@pytest.mark.parametrize("host", ["", "0.0.0.0", "[::]"])
def test_clients_of_every_interface_are_told_a_host_they_can_connect_to(
    tmp_path: Path, host: str
) -> None:
    listen = ("--listen", f"{host}:0", "--insecure", "--data-dir", str(tmp_path / "d"))
    with serving(*listen) as (process, address):
        shown, _, port = address.rpartition(":")
        assert shown == (host or "0.0.0.0")
        with WireClient(f"127.0.0.1:{port}") as client:
            (broker,) = client.ask("Metadata", 1, topics=()).brokers
        process.terminate()
        _, stderr = process.communicate(timeout=30)
    assert (broker.host, broker.port) == (socket.getfqdn(), int(port))
    assert f"(clients are told {socket.getfqdn()}:{port})" in stderr


def test_a_wildcard_cannot_be_advertised(tmp_path: Path) -> None:
    line = refusal("--data-dir", str(tmp_path / "d"), "--advertise", "0.0.0.0:9092")
    assert "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "listeners="), "listeners: none given"),
        (("--listen", "foo"), "--listen: 'foo' is not HOST:PORT"),
        (("--listen", "no.such.host.invalid:0"), "'no.such.host.invalid' cannot be looked up"),
        (("--advertise", "9092"), "--advertise: '9092' is not HOST:PORT"),
    ],
)
def test_a_listener_that_cannot_be_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refusal("--data-dir", str(tmp_path / "d"), *arguments)
    assert not (tmp_path / "d").exists()


def test_an_advertised_listener_of_the_file_behind_another_listener_is_told(tmp_path: Path) -> None:
    properties = tmp_path / "server.properties"
    properties.write_text("advertised.listeners=PLAINTEXT://127.0.0.1:9999\n")
    arguments = ("--data-dir", str(tmp_path / "d"), "--config", str(properties))
    with serving(*arguments) as (process, _):
        process.terminate()
        _, stderr = process.communicate(timeout=30)
    assert "--listen 127.0.0.1:0 does not change what clients are told: 127.0.0.1:9999" in stderr


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("--listen", "listeners"),
        ("--advertise", "advertised.listeners"),
        ("--data-dir", "log.dirs"),
        ("--data-dir", "log.dir"),
    ],
)
def test_an_option_and_the_setting_it_stands_for_contradict_each_other(
    tmp_path: Path, option: str, key: str
) -> None:
    both = (option, "127.0.0.1:0", "--set", f"{key}=PLAINTEXT://127.0.0.1:1")
    message = refusal(*(() if option == "--data-dir" else ("--data-dir", str(tmp_path))), *both)
    assert option in message
    assert key in message


@pytest.mark.parametrize(("others", "is_told"), [("{0}/a,{0}/b", True), ("{0}/d", False)])
def test_directories_of_the_file_that_are_not_served_are_told(
    tmp_path: Path, others: str, is_told: bool
) -> None:
    properties = tmp_path / "server.properties"
    dirs = others.format(tmp_path)
    properties.write_text(f"log.dirs={dirs}\n")
    data_dir = str(tmp_path / "d")
    with serving("--data-dir", data_dir, "--config", str(properties)) as (process, _):
        process.terminate()
        _, stderr = process.communicate(timeout=30)
    message = f"--data-dir {data_dir} is served alone, not log.dirs={dirs} of {properties}"
    assert (message in stderr) == is_told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "server.properties"]


def test_a_full_stdout_is_named(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*SERVE, "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "d")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1] == "barnabas: cannot write to stdout: No space left on device"
    )
    assert (tmp_path / "d" / ".kafka_cleanshutdown").exists()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert address in refusal("--data-dir", str(tmp_path / "d"), "--listen", address)
    assert not (tmp_path / "d").exists()


def test_a_directory_in_use_is_named(tmp_path: Path) -> None:
    data_dir = str(tmp_path / "d")
    with serving("--data-dir", data_dir):
        line = refusal("--data-dir", data_dir, "--listen", "127.0.0.1:0")
    assert data_dir in line
    assert "in use" in line


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for path in (file, file / "d", file / "d" / "e"):
        line = refusal("--data-dir", str(path))
        assert line.endswith(f"cannot make the data directory {path}: {file} is a file")


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    assert "thesis.tex" in refusal("--data-dir", str(tmp_path))


def test_a_directory_of_apache_kafka_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "meta.properties").write_text("version=1\ncluster.id=c\nnode.id=1\n")
    (tmp_path / "__cluster_metadata-0").mkdir()
    (tmp_path / "topic-0").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    assert "Apache Kafka" in refusal("--data-dir", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_damaged_metadata_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    with serving("--data-dir", str(data_dir)) as (process, _):
        process.terminate()
        process.communicate(timeout=30)
    (data_dir / "metadata.sqlite").write_bytes(b"no database" * 1000)
    assert "metadata.sqlite is damaged" in refusal("--data-dir", str(data_dir))


def test_a_directory_of_another_node_is_refused(tmp_path: Path) -> None:
    with serving("--data-dir", str(tmp_path)) as (process, _):
        process.terminate()
        process.communicate(timeout=30)
    assert "node 9" in refusal("--data-dir", str(tmp_path), "--set", "node.id=9")
