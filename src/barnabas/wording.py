"""Words for people: counts, what the system has refused, the name that was meant. Imports nothing
of ours.
"""

import errno
import os
from collections.abc import Iterable


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 record`, `2,000 records`; the plural only where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(names: Iterable[str], noun: str, shown_max: int = 3) -> str:
    """The names in order, or how many there are when they are many."""
    known = sorted(names)
    return ", ".join(known) if len(known) <= shown_max else counted(len(known), noun)


def reason(error: BaseException) -> str:
    """What an error says; of one of the system's the path and the text, without its number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is None:
        return error.strerror
    return f"{os.fsdecode(error.filename)}: {error.strerror}"


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what has caused it, is that there is no room on a disk."""
    while error is not None:
        if getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
            return True
        error = error.__cause__
    return False


def close_names(name: str, names: Iterable[str]) -> list[str]:
    """Those that may have been meant by one that there is not, the closest first."""
    by_folded = {each.casefold(): each for each in names}
    folded = name.casefold()
    if folded in by_folded:
        return [by_folded[folded]]
    import difflib  # for an error only

    return [by_folded[each] for each in difflib.get_close_matches(folded, by_folded)]


def meant(name: str, names: Iterable[str]) -> str:
    """For the end of an error: the names that are close to one that there is not, else all."""
    known = list(names)
    close = close_names(name, known)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
