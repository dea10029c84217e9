"""Words for people."""

import errno
import os

import pytest

from barnabas.errors import StartError
from barnabas.wording import counted, is_disk_full, meant, reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (counted(1, "partition"), "1 partition"),
        (counted(0, "partition"), "0 partitions"),
        (counted(2_000, "entry", "entries"), "2,000 entries"),
        (reason(OSError(errno.EACCES, os.strerror(errno.EACCES), "a")), "a: Permission denied"),
        (reason(OSError(errno.EACCES, os.strerror(errno.EACCES))), "Permission denied"),
        (reason(OSError("of its own")), "of its own"),
        (reason(ValueError("text")), "text"),
        (meant("prodce", ["Produce", "Fetch"]), "did you mean Produce?"),
        (meant("x", ["Produce", "Fetch"]), "there are Produce, Fetch"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert text == expected


def test_what_caused_an_error_counts() -> None:
    with pytest.raises(StartError) as caught:
        raise StartError("no") from OSError(errno.ENOSPC, "full")
    assert is_disk_full(caught.value)
    assert not is_disk_full(OSError(errno.EIO, "broken"))
