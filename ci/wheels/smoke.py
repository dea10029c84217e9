"""Run by the interpreter of an environment that has Barnabas and what it needs, nothing else.

Arguments are one more command that is `barnabas`, of another environment.
"""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

BROKER_API_VERSIONS = bytes.fromhex("0000000e00120000000000070004736d6f6b")
NOT_NEEDED = ("numpy", "rich", "confluent_kafka", "hdrh", "pyarrow", "kazoo")


def main() -> None:
    """Starts a broker in every way there is and asks each which APIs it has."""
    import barnabas

    installed = Path(barnabas.__file__)
    assert Path(sys.prefix) in installed.parents, f"{installed} is not of this environment"
    brought = [name for name in NOT_NEEDED if importlib.util.find_spec(name)]
    assert not brought, f"a broker does not need {brought}"
    with barnabas.Broker() as broker:
        broker.create_topic("smoke", partitions=2)
        ask(broker.bootstrap_servers)
    command = Path(sys.executable).with_name("barnabas")
    for start in ([str(command)], [sys.executable, "-m", "barnabas"], sys.argv[1:]):
        if start:
            serve(start)
    tool = subprocess.run([command, "topic", "list"], capture_output=True, text=True, check=False)
    assert tool.returncode == 1, tool
    assert "pip install 'barnabas[cli]'" in tool.stderr, tool.stderr


def serve(start: list[str]) -> None:
    """`barnabas serve` gets ready, answers and ends cleanly."""
    broker = subprocess.Popen(
        [*start, "serve", "--data-dir", f"data-{os.getpid()}", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert broker.stdout is not None
    try:
        line = broker.stdout.readline()
        ready = re.match(r"barnabas ready on (\S+)", line)
        assert ready, f"{start} said {line!r}"
        ask(ready[1])
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(30) == 0
    finally:
        broker.kill()
        broker.wait()


def ask(bootstrap: str) -> None:
    """ApiVersions, version 0: an answer without an error."""
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(BROKER_API_VERSIONS)
        answer = client.recv(4096)
    assert answer[4:10] == bytes.fromhex("000000070000"), answer


if __name__ == "__main__":
    main()
