"""`barnabas serve` as a child process that takes file faults, has its own clock, or has a bug."""

import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from faults.soak.small_disk import SmallDisk
from peers.servers import BarnabasServer

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("served.py")
PLANTED_CORE = ROOT / "build" / "native" / "planted"


class SoakServer(BarnabasServer):
    """One that takes faults (`fault`), and that may have a bug (`bug`, of csrc/base/planted.h), or
    a second log directory on a disk that can be filled.
    """

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, str] | None = None,
        *,
        bug: str | None = None,
        with_small_disk: bool = False,
    ) -> None:
        super().__init__(directory, config)
        self.bug = bug
        self.clock_ms = 0  # how far its calendar is ahead of the system's
        self.directory.mkdir(parents=True, exist_ok=True)
        # Short: the name of a socket has little room.
        self.socket = self.directory / "f"
        self.log_dirs = [self.data_dir]
        self.small_disk: SmallDisk | None = None
        if with_small_disk:
            self.small_disk = SmallDisk(self.directory / "disk")
            self.log_dirs.append(self.small_disk.path / "data")
            self.config["log.dirs"] = ",".join(map(str, self.log_dirs))

    def __enter__(self) -> Self:
        if self.small_disk is not None:
            self.small_disk.mount()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, value, traceback)
        if self.small_disk is not None:
            self.small_disk.unmount()

    def _command(self) -> list[str]:
        command = super()._command()
        own = [sys.executable, str(PROGRAM), f"--faults={self.socket}"]
        own.append(f"--clock-ms={self.clock_ms}")
        if self.bug is not None:
            assert any(PLANTED_CORE.glob("_core*.so")), "`make planted` builds it"
            own += [f"--core={PLANTED_CORE}", f"--bug={self.bug}"]
        return [*own, *command[1:]]

    def fault(self, call: str, pattern: str, effect: str, value: int, times: int) -> None:
        """Puts one into force, for the next calls of the broker that runs now."""
        self._tell("fault", call, pattern, effect, value, times)

    def heal(self) -> None:
        """All is well again."""
        self._tell("heal")

    def set_clock(self, ahead_ms: int) -> None:
        """The calendar of the broker that runs now, and of those that are started after it."""
        self._tell("step", ahead_ms - self.clock_ms)
        self.clock_ms = ahead_ms

    def struck(self) -> int:
        """How many calls of the broker that runs now went wrong."""
        return self._tell("struck")

    def _tell(self, *what: str | int) -> int:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.socket))
            control.sendall(json.dumps(what).encode() + b"\n")
            return int(control.recv(20))
