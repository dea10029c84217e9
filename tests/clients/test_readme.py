"""What README shows is run as it stands, so that it stays true."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.snippets import Block, Reader, blocks_of, reader_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = blocks_of(README)
PYTHON_BLOCKS = [block for block in BLOCKS if block.language == "python"]
MAKES_IT_ALL = {"make serve", "make test", "source .venv/bin/activate"}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reader_of(ROOT / "README.md", tmp_path_factory.mktemp("readme")) as reader:
        yield reader


def test_readme_shows_both_commands_which_make_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    shown = {line for block in BLOCKS if block.is_shell for line in block.commands}
    assert shown >= MAKES_IT_ALL
    for command in MAKES_IT_ALL:
        if command.startswith("make "):
            assert re.search(rf"^{command.removeprefix('make ')}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_readme_shows_works(reader: Reader, block: Block) -> None:
    reader.follow(block)


def test_the_snippets_print_what_was_written(reader: Reader) -> None:
    """What the blocks before have left: the producer's record in its log, and a book."""
    assert len(PYTHON_BLOCKS) == 11
    log = next(block for block in PYTHON_BLOCKS if "barnabas.Log" in block.text)
    assert b"a message from the castle" in reader.run("python", "-c", log.text).encode()
    consume = reader.here("barnabas consume book")
    assert reader.run("bash", "-c", consume).splitlines()[:1] == README.splitlines()[:1]
