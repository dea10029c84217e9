"""Sources that clang-tidy reads as one."""

from pathlib import Path

import pytest

from clang_tidy import UNIT_FILES, Source, Unit, units_of

FLAGS = ("clang++", "-O2")


def source(path: Path, text: str = "") -> Source:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return Source(path, FLAGS)


@pytest.mark.parametrize("count", [1, UNIT_FILES, UNIT_FILES + 1, 5 * UNIT_FILES - 1])
def test_each_source_is_in_one_unit_of_its_layer(tmp_path: Path, count: int) -> None:
    sources = [source(tmp_path / layer / f"{n:02}.cc") for layer in "ab" for n in range(count)]
    units = units_of(sources)
    assert [s for unit in units for s in unit.sources] == sources
    assert {len({s.file.parent for s in unit.sources}) for unit in units} == {1}
    assert len({unit.name for unit in units}) == len(units)
    sizes = [len(unit.sources) for unit in units]
    assert max(sizes) <= UNIT_FILES
    assert max(sizes) - min(sizes) <= 1


def test_sources_that_are_compiled_otherwise_are_read_apart(tmp_path: Path) -> None:
    one, other = source(tmp_path / "a.cc"), source(tmp_path / "b.cc")
    units = units_of([one, Source(other.file, ("clang++", "-O2", "-DX"))])
    assert [unit.sources[0].flags for unit in units] == [FLAGS, ("clang++", "-O2", "-DX")]


def test_a_finding_is_shown_where_it_is(tmp_path: Path) -> None:
    a, b = source(tmp_path / "a.cc", "1\n2\n3\n"), source(tmp_path / "b.cc", "1\n2\n")
    unit = Unit("ab-1", (a, b))
    lines = unit.text().splitlines()
    for number, line in enumerate(lines, 1):
        file, _, shown = unit.place(number).rpartition(":")
        assert Path(file).read_text().splitlines()[int(shown) - 1] == line
        assert shown == line
    assert unit.place(4) == f"{b.file}:1"
