"""The wheel that `make test-wheels` tests; without one there is nothing to test here."""

import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def wheel(request: pytest.FixtureRequest) -> Path:
    given = request.config.getoption("--wheel")
    if given is None:
        pytest.skip("needs --wheel; make test-wheels gives one")
    return Path(given)


@pytest.fixture(scope="session")
def contents(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    directory = tmp_path_factory.mktemp("contents")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    return directory


@pytest.fixture(scope="session")
def modules(contents: Path) -> list[Path]:
    """The extension modules."""
    return sorted(contents.rglob("*.so"))


@pytest.fixture(scope="session")
def dist_info(contents: Path) -> Path:
    (directory,) = contents.glob("*.dist-info")
    return directory
