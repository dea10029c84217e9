"""The sdist: the same bytes each time, and all that is needed to build, nothing else."""

import email
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BUILD_FILES = {"CMakeLists.txt", "setup.py", "pyproject.toml", "LICENSE", "README.md"}
MADE_BY_SETUPTOOLS = {"PKG-INFO", "setup.cfg"}


def make_sdist(directory: Path) -> Path:
    command = [sys.executable, "setup.py", "-q", "sdist", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = directory.iterdir()
    return archive


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sdist(tmp_path_factory.mktemp("sdist"))


def test_a_second_one_has_the_same_bytes(sdist: Path, tmp_path: Path) -> None:
    (ROOT / "README.md").touch()  # as a fresh checkout would
    assert make_sdist(tmp_path).read_bytes() == sdist.read_bytes()


def test_its_description_links_to_nothing_that_only_a_checkout_has(sdist: Path) -> None:
    with tarfile.open(sdist) as tar:
        file = tar.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert file is not None
        metadata = email.message_from_bytes(file.read())
    assert metadata["Description-Content-Type"] == "text/markdown"
    described = metadata.get_payload()
    assert isinstance(described, str)
    links = re.findall(r"\]\(([^)]+)\)", described)
    assert links
    assert all(link.startswith("https://") for link in links)
    assert "More of this (`docs/howto/install.md`)." in described


def test_it_has_every_source_and_nothing_built(sdist: Path) -> None:
    with tarfile.open(sdist) as tar:
        top = sdist.name.removesuffix(".tar.gz") + "/"
        members = {member.name.removeprefix(top): member for member in tar.getmembers()}
    listed = subprocess.run(
        ["git", "ls-files", "src", "csrc"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert members.keys() >= {*listed, *BUILD_FILES}
    known = {*listed, *BUILD_FILES, *MADE_BY_SETUPTOOLS}
    others = {
        name for name in members.keys() - known if not name.startswith("src/barnabas.egg-info/")
    }
    assert others <= {"ARCHITECTURE.md", "CHANGELOG.md", "MANIFEST.in"}
    assert {member.mode for member in members.values()} <= {0o644, 0o755}
    assert {(member.uid, member.uname) for member in members.values()} == {(0, "")}
    assert len({member.mtime for member in members.values()}) == 1
