"""`barnabas dump` on damaged files, in this process."""

import random
import struct
from pathlib import Path

import pytest

from barnabas.cli.main import main
from barnabas.dump.files import _BY_NAME, _BY_SUFFIX

NAMES = [*(f"{5:020d}{suffix}" for suffix in _BY_SUFFIX), *_BY_NAME]
BASE = f"{0:020d}"


def test_a_damaged_preallocated_index_is_summarised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / f"{BASE}.index"
    index.write_bytes(struct.pack(">ii", 7, -1) * 100_000)
    assert main(["dump", str(index)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 30
    assert "damage in 99,980 more places" in lines[-1]


def test_negative_positions_beside_a_segment_are_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / f"{BASE}.index"
    index.write_bytes(bytes.fromhex("00000005c859880400000009c8598805"))
    index.with_suffix(".log").write_bytes(bytes(1000))
    assert main(["dump", str(index)]) == 1
    assert capsys.readouterr().out.count("DAMAGE") == 2


@pytest.mark.parametrize("name", NAMES)
def test_no_bytes_end_it_with_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / "__consumer_offsets-0" / name
    path.parent.mkdir()
    rng = random.Random(7)
    for size in range(0, 300, 7):
        path.write_bytes(rng.randbytes(size))
        assert main(["dump", str(path), "--records"]) in (0, 1)
        assert main(["dump", str(path), "--records", "--json"]) in (0, 1)
    capsys.readouterr()
