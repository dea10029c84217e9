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


def modules_after(script: str) -> set[str]:
    """What a process has imported that has run it."""
    printed = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(printed.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    modules = modules_after("import barnabas")
    assert not {"numpy", "kio", "asyncio", "rich", "barnabas._core"} & modules


def test_a_broker_of_a_program_imports_nothing_heavy() -> None:
    modules = modules_after("import barnabas\nwith barnabas.Broker(): pass")
    assert "barnabas._core" in modules
    assert not {"numpy", "pyarrow", "rich", "hypothesis", "confluent_kafka"} & modules


@pytest.mark.parametrize("name", [*barnabas.__all__, "testing.faults", "testing.broker_faults"])
def test_no_part_of_the_package_imports_hypothesis(name: str) -> None:
    module, _, what = f"barnabas.{name}".rpartition(".")
    assert "hypothesis" not in modules_after(f"from {module} import {what}")


def test_a_program_has_its_hypothesis_before_and_behind_the_package() -> None:
    kio = "from kio.static import _phantom\nassert (_phantom.hypothesis is None) is {}"
    first = "import hypothesis, barnabas.errors\n" + kio.format(False)
    assert "hypothesis.strategies" in modules_after(first)
    behind = f"import barnabas.errors\n{kio.format(True)}\nimport hypothesis.strategies"
    assert "hypothesis.strategies" in modules_after(behind)


def test_every_directory_is_a_package() -> None:
    """setuptools leaves directories without an __init__.py out of the wheel."""
    root = Path(barnabas.__file__).parent
    directories = {path.parent for path in root.rglob("*.py")}
    assert not [str(path) for path in directories if not (path / "__init__.py").exists()]
