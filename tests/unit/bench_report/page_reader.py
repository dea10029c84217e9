"""Reads a page as a reader would: its text, its tables, and what it would load."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "source", "br", "link", "input", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """REQUIRES well-formed nesting: the parser asserts it."""

    html: str
    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        element = self.open.pop()
        assert element.tag == tag, f"<{element.tag}> closed by </{tag}>"
        if tag in ("td", "th"):
            self.rows[-1].append(" ".join(element.text.split()))

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += f"{data}" if self.open[-1].tag != "small" else f" {data}"

    @property
    def text(self) -> str:
        return " ".join(self.all("body")[0].text.split())

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def row(self, operation: str, metric: str) -> list[str]:
        """The cells behind the metric's name, in the block that the operation opens."""
        texts = iter(self.rows)
        for cells in texts:
            if len(cells) == 1 and cells[0].split(" · ")[0] == operation:
                return next(cells[1:] for cells in texts if cells[0].startswith(metric))
        raise AssertionError(f"no row of {operation}")
