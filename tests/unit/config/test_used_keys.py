"""A key that is shown as one with an effect is read somewhere."""

import re
from pathlib import Path

from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.topic_keys import TOPIC_KEYS

ROOT = Path(__file__).parents[3]


def readers() -> str:
    """All code but what declares keys."""
    sources = [*ROOT.glob("csrc/**/*.cc"), *ROOT.glob("csrc/**/*.h"), *ROOT.glob("src/**/*.py")]
    return "\n".join(
        path.read_text()
        for path in sources
        if not (path.parent.name == "config" and path.name.endswith("_keys.py"))
    )


def test_each_used_key_is_read() -> None:
    code = readers()
    # A broker's key may be what gives a topic's, or another one of the broker's, its value.
    given = {
        synonym.name
        for keys in (TOPIC_KEYS, BROKER_KEYS)
        for key in keys.values()
        if key.used
        for synonym in key.synonyms
    }
    # Those of the internal topics, which are read by what follows their prefix.
    prefixed = re.compile(r"(?:offsets\.topic|transaction\.state\.log)(\..*)")

    def is_read(name: str) -> bool:
        match = prefixed.fullmatch(name)
        return f'"{name}"' in code or (match is not None and f'{{settings}}{match[1]}"' in code)

    unread = [
        key.name
        for keys in (TOPIC_KEYS, BROKER_KEYS)
        for key in keys.values()
        if key.used and not is_read(key.name) and key.name not in given
    ]
    assert unread == []
