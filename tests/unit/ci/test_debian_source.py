"""The version of a library, from that of Debian's package of it."""

import pytest

from wheels.debian_source import upstream_version


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("1.1.9-3", "1.1.9"),
        ("1:1.2.13.dfsg-1", "1.2.13"),
        ("1:1.3.dfsg+really1.3.1-1+b1", "1.3.1"),
        ("1.5.7+dfsg-1", "1.5.7"),
        ("1.5.4+dfsg2-5", "1.5.4"),
    ],
)
def test_what_debian_adds_is_left_out(debian: str, upstream: str) -> None:
    assert upstream_version(debian) == upstream
