"""What a reader finds in a file."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that the file holds.

    position: where it begins, in bytes; in text files, and where there is none, None.
    """

    kind: str  # names what `fields` has, for instance "batch"
    position: int | None
    fields: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that no broker would write. position: as of Entry; line: in text files, from 1."""

    reason: str
    position: int | None = None
    line: int | None = None


Finding = Entry | Damage
Findings = Iterator[Finding]
