"""What the fork of an embedded broker lives in, and how it is configured. Imports addresses,
directories, errors and wording only.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from barnabas.directories import make_directory, remove_empty
from barnabas.errors import ConfigError, StartError
from barnabas.wording import reason

if TYPE_CHECKING:
    from barnabas.config.listeners import Address

TEMPORARY_PREFIX: Final = "barnabas-"
DIRECTORY_KEYS: Final = frozenset(("log.dir", "log.dirs"))
_NETWORK_KEYS: Final = frozenset(
    (
        "listeners",
        "advertised.listeners",
        "listener.security.protocol.map",
        "inter.broker.listener.name",
        "controller.listener.names",
    )
)


class ForkDirectories:
    """A directory for each log directory of a broker; there, and empty."""

    def __init__(self, origins: Sequence[Path], wanted: Sequence[Path] | None) -> None:
        """`wanted` None: temporary ones. Raises StartError, ConfigError."""
        if wanted is not None and len(wanted) != len(origins):
            raise ConfigError(
                f"log.dirs: the broker has {len(origins)} log directories, so its fork is to have "
                f"as many, not {len(wanted)}"
            )
        self.are_temporary: Final = wanted is None
        self.paths: Final[list[Path]] = []
        self._origins: Final = [origin.resolve() for origin in origins]
        self._made: list[Path] = []  # the deepest first
        try:
            for number, origin in enumerate(origins):
                self._take(self._temporary(origin) if wanted is None else wanted[number])
        except OSError as error:
            self.discard()
            raise StartError(f"cannot make a directory for the fork: {reason(error)}") from error
        except BaseException:
            self.discard()
            raise

    def _take(self, path: Path) -> None:
        place = path.resolve()  # by other names it is the same
        for taken in self.paths:
            if place == taken.resolve():
                raise ConfigError(f"log.dirs: {path} is there twice")
            if place.is_relative_to(taken.resolve()):
                raise ConfigError(f"log.dirs: {path} is in {taken}")
        for origin in self._origins:
            if place != origin and place.is_relative_to(origin):
                raise StartError(f"cannot fork into {path}: it is in the broker's own {origin}")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StartError(f"cannot fork into {path}: it is not an empty directory")
        self._made = make_directory(path) + self._made
        self.paths.append(path)

    def _temporary(self, origin: Path) -> Path:
        path = _temporary(origin)
        self._made.insert(0, path)
        return path

    def discard(self) -> None:
        """Leaves nothing of the fork there."""
        for path in self.paths:
            with suppress(OSError):  # what has failed before is to be told
                for entry in path.iterdir():
                    if entry.is_dir():
                        shutil.rmtree(entry, ignore_errors=True)
                    else:
                        entry.unlink(missing_ok=True)
        remove_empty(self._made)


def _temporary(origin: Path) -> Path:
    """Where files of `origin` can be linked, if that can be."""
    usual = Path(tempfile.gettempdir())
    beside = origin.absolute().parent
    device = origin.stat().st_dev
    is_better = usual.stat().st_dev != device and beside.stat().st_dev == device
    parent = beside if is_better and os.access(beside, os.W_OK) else usual
    return Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent))


def wanted_directories(
    data_dir: str | Path | None, config: Mapping[str, Any]
) -> Sequence[Path] | None:
    """Where a fork is to be, by its arguments; None when nothing is said. Raises ConfigError."""
    keys = sorted(DIRECTORY_KEYS & config.keys())
    if data_dir is not None and keys:
        raise ConfigError(f"data_dir={data_dir} and {keys[0]}: give one of them")
    if data_dir is not None:
        return [Path(data_dir)]
    if keys:
        return [Path(path.strip()) for path in str(config[keys[-1]]).split(",")]
    return None


def fork_config(
    parents: Mapping[str, Any], own: Mapping[str, Any], listen: "Address"
) -> dict[str, Any]:
    """The broker's configuration, and the fork's on top of it, without directories and what else
    only one of them can have: the fork listens at `listen`, unless its own says otherwise.
    """
    config = {key: value for key, value in parents.items() if key not in _NETWORK_KEYS} | dict(own)
    config = {key: value for key, value in config.items() if key not in DIRECTORY_KEYS}
    if "listeners" not in own:
        config["listeners"] = f"PLAINTEXT://{listen}"
    elif listen.port:
        raise ConfigError(f"port={listen.port} and listeners={own['listeners']}: give one of them")
    return config
