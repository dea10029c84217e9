"""How embedded brokers are configured, and what their forks live in. Imports configuration,
directories, errors and wording only.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from barnabas.directories import make_directory, make_temporary, remove_empty
from barnabas.errors import ConfigError, StartError
from barnabas.wording import reason

if TYPE_CHECKING:
    from barnabas.config.listeners import Address
    from barnabas.config.start import StartConfig

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
    """A directory for each log directory of a broker; empty, once they are made.

    They may be discarded while another thread fills them, which then does so at its end.
    """

    def __init__(self, origins: Sequence[Path], wanted: Sequence[Path] | None) -> None:
        """`wanted` None: temporary ones. Raises ConfigError."""
        if wanted is not None and len(wanted) != len(origins):
            raise ConfigError(
                f"log.dirs: the broker has {len(origins)} log directories, so its fork is to have "
                f"as many, not {len(wanted)}"
            )
        self.are_temporary: Final = wanted is None
        self.paths: Final[list[Path]] = []
        self._wanted: Final = wanted
        self._origins: Final = [origin.resolve() for origin in origins]
        self._made: list[Path] = []  # the deepest first
        self._lock: Final = threading.Lock()
        self._is_being_filled = False
        self._is_discarded = False

    def make(self) -> None:
        """Makes them. Raises StartError, ConfigError; what there is then is to be discarded."""
        try:
            for number, origin in enumerate(self._origins):
                if self._wanted is None:
                    make_temporary(_parent_of_temporary(origin), TEMPORARY_PREFIX, self._made)
                    self.paths.append(self._made[0])
                else:
                    self._take(self._wanted[number])
        except OSError as error:
            raise StartError(f"cannot make a directory for the fork: {reason(error)}") from error

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

    @contextmanager
    def being_filled(self) -> Iterator[None]:
        """Around what writes into them. Raises StartError when nobody wants them any more."""
        with self._lock:
            if self._is_discarded:
                raise StartError("the fork was given up")
            self._is_being_filled = True
        try:
            yield
        finally:
            with self._lock:
                self._is_being_filled = False
                if self._is_discarded:
                    self._remove()

    def discard(self) -> None:
        """Leaves nothing of the fork there, now or when it is no more being filled."""
        with self._lock:
            self._is_discarded = True
            if not self._is_being_filled:
                self._remove()

    def _remove(self) -> None:
        for path in self.paths:
            with suppress(OSError):  # what has failed before is to be told
                for entry in path.iterdir():
                    if entry.is_dir():
                        shutil.rmtree(entry, ignore_errors=True)
                    else:
                        entry.unlink(missing_ok=True)
        remove_empty(self._made)


def _parent_of_temporary(origin: Path) -> Path:
    """Where files of `origin` can be linked, if that can be."""
    usual = Path(tempfile.gettempdir())
    beside = origin.absolute().parent
    device = origin.stat().st_dev
    is_better = usual.stat().st_dev != device and beside.stat().st_dev == device
    return beside if is_better and os.access(beside, os.W_OK) else usual


def wanted_directories(
    data_dir: str | Path | None, config: Mapping[str, str]
) -> Sequence[Path] | None:
    """Where a fork is to be, by its arguments; None when nothing is said. Raises ConfigError."""
    if data_dir is not None:
        _check_is_only_place(data_dir, config)
        return [Path(data_dir)]
    if keys := sorted(DIRECTORY_KEYS & config.keys()):
        from barnabas.config.broker_keys import BROKER_KEYS

        paths = BROKER_KEYS[keys[-1]].parse(config[keys[-1]])
        assert isinstance(paths, tuple)
        return [Path(path) for path in paths]
    return None


def fork_config(
    parents: Mapping[str, Any], own: Mapping[str, Any], listen: "Address"
) -> dict[str, Any]:
    """The broker's configuration, and the fork's on top of it, without directories and what else
    only one of them can have: the fork listens at `listen`, unless its own says otherwise.
    """
    config = {key: value for key, value in parents.items() if key not in _NETWORK_KEYS} | dict(own)
    config = {key: value for key, value in config.items() if key not in DIRECTORY_KEYS}
    return config | {"listeners": _listeners(listen.port, own, f"PLAINTEXT://{listen}")}


def embedded_config(
    directories: Sequence[Path] | None, port: int, config: Mapping[str, str], *, is_virtual: bool
) -> "StartConfig":
    """Of an embedded broker, by its arguments. Raises ConfigError."""
    from barnabas.config.broker_keys import EMBEDDED_DEFAULTS, VIRTUAL_CLOCK_DEFAULTS
    from barnabas.config.start import make_start_config

    if directories is not None:
        _check_is_only_place(directories[0], config)
    listeners = _listeners(port, config, f"PLAINTEXT://127.0.0.1:{port}")
    start = make_start_config(
        [("config", {**config, "listeners": listeners})],
        data_dirs=directories,
        defaults={**EMBEDDED_DEFAULTS, **(VIRTUAL_CLOCK_DEFAULTS if is_virtual else {})},
    )
    # The program may change its directory while the broker lives.
    return replace(start, data_dirs=tuple(path.absolute() for path in start.data_dirs))


def _check_is_only_place(data_dir: str | Path, config: Mapping[str, Any]) -> None:
    if keys := sorted(DIRECTORY_KEYS & config.keys()):
        raise ConfigError(f"data_dir={str(data_dir)!r} and {keys[0]}: give one of them")


def _listeners(port: int, config: Mapping[str, Any], otherwise: str) -> Any:
    """What `config` says, unless there is a `port`, too."""
    if "listeners" not in config:
        return otherwise
    if port:
        raise ConfigError(f"port={port} and listeners={config['listeners']}: give one of them")
    return config["listeners"]
