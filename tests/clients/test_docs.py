"""What the pages of docs/ show is run as it stands, each page from its beginning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.snippets import Block, Reader, blocks_of, reader_of

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    page: blocks for page in sorted(DOCS.rglob("*.md")) if (blocks := blocks_of(page.read_text()))
}


@pytest.fixture(scope="module")
def reader(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    page: Path = request.param
    with reader_of(page, tmp_path_factory.mktemp(page.stem)) as reader:
        yield reader


@pytest.mark.parametrize(
    ("reader", "block"),
    [
        pytest.param(page, block, id=f"{page.stem}-{number}-{block}")
        for page, blocks in PAGES.items()
        for number, block in enumerate(blocks)
    ],
    indirect=["reader"],
)
def test_what_the_page_shows_works(reader: Reader, block: Block) -> None:
    reader.follow(block)


def test_the_tutorial_and_every_how_to_show_something() -> None:
    assert DOCS / "tutorial.md" in PAGES
    assert {*(DOCS / "howto").glob("*.md")} <= PAGES.keys()
