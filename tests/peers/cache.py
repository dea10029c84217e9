"""What is fetched or built once per machine: directories under ~/.cache/barnabas."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE_DIR = Path(os.environ.get("BARNABAS_CACHE", Path.home() / ".cache" / "barnabas"))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield


def cached_dir(name: str, fill: Callable[[Path], None]) -> Path:
    """The directory `name` of the cache; `fill` makes it when it is not there.

    Safe with concurrent runs: one fills, the others wait; a fill that fails leaves nothing behind.
    """
    final = CACHE_DIR / name
    if final.is_dir():
        return final
    with _locked(CACHE_DIR / f"{name.replace('/', '-')}.lock"):
        if final.is_dir():
            return final
        partial = final.with_name(final.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        fill(partial)
        partial.rename(final)
    return final
