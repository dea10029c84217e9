"""Upstream source archives, as Debian's source packages carry them.

apt checks the signatures and the hashes. It is given lists, a cache and a source of its own, at the
address that this machine's apt uses: nothing that is installed or configured changes.
"""

import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wheels.places import WORK, run

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_DEBIAN_REVISION = re.compile(r"^(?:\d+:)?(.*)-[^-]*$")
_REPACKED = re.compile(r"^(?:.*\+really)?(.*?)(?:[.+]dfsg\d*)?$")


class Source(NamedTuple):
    """An unpacked source tree."""

    name: str  # of Debian's source package
    version: str  # upstream's
    directory: Path


def fetch(name: str, suite: str) -> Source:
    """The source of that package in that suite, unpacked; fetched once."""
    directory = WORK / "sources" / suite / name
    marker = directory / "VERSION"
    if not marker.exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        options = _apt_options(suite)
        run(["apt-get", *options, "source", "-qq", "--download-only", name], cwd=directory)
        (description,) = directory.glob("*.dsc")
        (archive,) = (
            path for path in directory.glob("*.orig.tar.*") if path.suffix in {".gz", ".xz", ".bz2"}
        )
        with tarfile.open(archive) as tar:
            tar.extractall(directory / "tree", filter="tar")
        found = re.search(r"^Version: (\S+)$", description.read_text(), re.MULTILINE)
        assert found is not None, description
        marker.write_text(upstream_version(found[1]))
    (tree,) = (directory / "tree").iterdir()
    return Source(name, marker.read_text(), tree)


def upstream_version(debian: str) -> str:
    """`1.3.1` of `1:1.3.dfsg+really1.3.1-1`."""
    without_revision = _DEBIAN_REVISION.sub(r"\1", debian)
    return _REPACKED.sub(r"\1", without_revision)


def _apt_options(suite: str) -> list[str]:
    home = WORK / "apt" / suite
    options = list(_settings(home))
    for folder in ("lists/partial", "cache/archives/partial"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    source = f"deb-src [signed-by={_KEYRING}] {_archive()} {suite} main\n"
    (home / "sources.list").write_text(source)
    run(["apt-get", *options, "update", "-qq"])
    return options


def _settings(home: Path) -> Iterator[str]:
    settings = {
        "Dir::Etc::sourcelist": home / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": home / "lists",
        "Dir::Cache": home / "cache",
        "APT::Sandbox::User": "root",
    }
    for name, value in settings.items():
        yield f"-o{name}={value}"


def _archive() -> str:
    """The address of Debian's archive, without its suites."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    sites = run(command).split()
    return next(site for site in sites if site.rstrip("/").endswith("/debian"))
