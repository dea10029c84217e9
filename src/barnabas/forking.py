"""What the fork of an embedded broker lives in, and how it is configured. Imports addresses, errors
and wording only.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
        self._found: Final[set[Path]] = set()  # those that were there before
        try:
            for number, origin in enumerate(origins):
                path = _temporary(origin) if wanted is None else self._take(wanted[number])
                self.paths.append(path)
        except OSError as error:
            self.discard()
            raise StartError(f"cannot make a directory for the fork: {reason(error)}") from error
        except BaseException:
            self.discard()
            raise

    def _take(self, path: Path) -> Path:
        if path in self.paths:
            raise ConfigError(f"log.dirs: {path} is there twice")
        if path.exists():
            if not path.is_dir() or any(path.iterdir()):
                raise StartError(f"cannot fork into {path}: it is not an empty directory")
            self._found.add(path)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def discard(self) -> None:
        """Leaves nothing of the fork there."""
        for path in self.paths:
            shutil.rmtree(path, ignore_errors=True)
            if path in self._found:
                path.mkdir(exist_ok=True)


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
    parents: Mapping[str, Any], own: Mapping[str, Any], listen: "Address", paths: Sequence[Path]
) -> dict[str, Any]:
    """The broker's configuration, and the fork's on top of it, without what only one of them can
    have: the fork listens at `listen`, unless its own configuration says otherwise.
    """
    config = {key: value for key, value in parents.items() if key not in _NETWORK_KEYS} | dict(own)
    config = {key: value for key, value in config.items() if key not in DIRECTORY_KEYS}
    config["log.dirs"] = ",".join(map(str, paths))
    if "listeners" not in own:
        config["listeners"] = f"PLAINTEXT://{listen}"
    elif listen.port:
        raise ConfigError(f"port={listen.port} and listeners={own['listeners']}: give one of them")
    return config
