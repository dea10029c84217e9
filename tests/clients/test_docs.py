"""What the pages of docs/ show is run as it stands, each page from its beginning."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clients.snippets import Block, Reader, blocks_of, reader_of

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    page: blocks for page in sorted(DOCS.rglob("*.md")) if (blocks := blocks_of(page.read_text()))
}


@pytest.fixture(scope="module")
def reader_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], Reader]]:
    """The reader of the page that is being read; one page's broker at a time."""
    readers: dict[Path, Reader] = {}
    with ExitStack() as stack:

        def reader(page: Path) -> Reader:
            if page not in readers:
                stack.close()
                directory = tmp_path_factory.mktemp(page.stem)
                readers[page] = stack.enter_context(reader_of(page, directory))
            return readers[page]

        yield reader


@pytest.mark.parametrize(
    ("page", "block"),
    [
        pytest.param(page, block, id=f"{page.stem}-{number}-{block}")
        for page, blocks in PAGES.items()
        for number, block in enumerate(blocks)
    ],
)
def test_what_the_page_shows_works(
    reader_at: Callable[[Path], Reader], page: Path, block: Block
) -> None:
    reader_at(page).follow(block)


def test_the_tutorial_and_every_how_to_show_something() -> None:
    assert DOCS / "tutorial.md" in PAGES
    assert {*(DOCS / "howto").glob("*.md")} <= PAGES.keys()
