"""Classes as a JVM leaves them in a file (class data sharing): one that maps it starts in half the
time. Loading and checking classes is most of what an Apache Kafka of a few seconds does.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from peers.cache import cached_dir

# Of a file that does not fit, as that of another classpath, a JVM would complain on stdout, which
# tests read, and go on without it.
_QUIET = ("-Xlog:disable", "-Xlog:all=error:stderr")


def writing(archive: Path) -> tuple[str, ...]:
    """The options of a JVM that writes its classes when it ends."""
    return (f"-XX:ArchiveClassesAtExit={archive}", *_QUIET)


def using(archive: Path) -> tuple[str, ...]:
    """None when there is no archive: not every Java can write one."""
    return (f"-XX:SharedArchiveFile={archive}", *_QUIET) if archive.exists() else ()


def archives(name: str, fill: Callable[[Path], None]) -> Path:
    """The directory of archives of that name, which `fill` makes when this Java has none yet."""
    java = shutil.which("java")
    assert java is not None
    path = Path(java).resolve()
    identity = f"{path} {path.stat().st_mtime_ns}"
    return cached_dir(f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}", fill)
