"""What a wheel says of what is compiled into it."""

import importlib.metadata
import sys
from pathlib import Path

from wheels.libraries import bindings


def test_the_bindings_licence_is_the_installed_pybind11s() -> None:
    part = bindings(Path(sys.prefix))
    assert part.version == importlib.metadata.version("pybind11")
    assert part.purl == f"pkg:pypi/pybind11@{part.version}"
    assert "Wenzel Jakob" in part.licence.read_text()
