"""What `import barnabas` offers."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import barnabas


@pytest.mark.parametrize("name", sorted(set(barnabas.__all__) - {"__version__"}))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(barnabas, name).__name__ == name
    assert name in dir(barnabas)


def test_the_version_is_that_of_the_installed_package() -> None:
    assert barnabas.__version__ == importlib.metadata.version("barnabas")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_that"):
        barnabas.nothing_like_that  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import sys, barnabas; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "kio", "asyncio", "rich", "barnabas._core"} & set(modules)


def test_every_directory_is_a_package() -> None:
    """setuptools leaves directories without an __init__.py out of the wheel."""
    root = Path(barnabas.__file__).parent
    directories = {path.parent for path in root.rglob("*.py")}
    assert not [str(path) for path in directories if not (path / "__init__.py").exists()]
