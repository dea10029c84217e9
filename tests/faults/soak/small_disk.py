"""A disk of a few megabytes, in memory, that can be filled to the last byte."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

SIZE = "64m"
CHUNKS = (1 << 20, 4096, 1)


class SmallDisk:
    """Mounted at `path` from `mount` to `unmount`. Needs root, see `possible`."""

    possible = os.geteuid() == 0

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def mount(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(self.path)]
        subprocess.run(mount, check=True)

    def unmount(self) -> None:
        """Also when somebody is still at it: it goes with the last file that is closed."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def fill(self, left_bytes: int) -> None:
        """Uses up all but about `left_bytes` of what is free."""
        with self._filler.open("wb", buffering=0) as file:
            for size in CHUNKS:
                with suppress(OSError):  # it has less room than that
                    while True:
                        file.write(bytes(size))
            file.truncate(max(file.tell() - left_bytes, 0))

    def free(self) -> None:
        """Gives it back."""
        self._filler.unlink(missing_ok=True)
