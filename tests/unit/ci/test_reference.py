"""docs/reference/python.md has a place for everything that is public."""

import re
from pathlib import Path

import pytest

import barnabas

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "python.md"
SHOWN = set(re.findall(r"^::: (\S+)$", PAGE.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", sorted({*barnabas.__all__} - {"__version__"}))
def test_what_is_public_is_in_the_reference(name: str) -> None:
    module = barnabas._MODULES[name]
    defined_in = getattr(getattr(barnabas, name), "__module__", module)
    assert {module, f"{module}.{name}", defined_in, f"{defined_in}.{name}"} & SHOWN
