"""Small files of settings: `partition.metadata`, `meta.properties`, and Kafka's JSON ones.

Layout: `partition.metadata` has a line `version: 0` and a line `topic_id: ID`; `meta.properties`
is a Java properties file, `KEY=VALUE` a line with comments after `#`; `.kafka_cleanshutdown` and
`quorum-state` are one JSON object.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from barnabas.dump.finding import Damage, Entry, Findings


def read_partition_metadata(path: Path) -> Findings:
    """The topic id of a partition's directory."""
    return _read_pairs(path, ":", ("version", "topic_id"))


def read_meta_properties(path: Path) -> Findings:
    """The identity of a data directory."""
    return _read_pairs(path, "=", ("version", "cluster.id", "node.id"))


def read_clean_shutdown(path: Path) -> Findings:
    """The mark of a clean stop: JSON, or empty, as older Kafka and a bare log leave it."""
    return read_json_file(path) if path.stat().st_size else iter((Entry("settings", None),))


def read_json_file(path: Path) -> Findings:
    """The object's fields."""
    try:
        fields = json.loads(path.read_bytes())
        if not isinstance(fields, dict):
            raise ValueError("no object")
    except ValueError as error:
        yield Damage(f"not a JSON object: {error}", line=1)
    else:
        yield Entry("settings", None, fields)


def _read_pairs(path: Path, separator: str, required: Iterable[str]) -> Findings:
    pairs: dict[str, object] = {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, found, value = line.partition(separator)
        if not found:
            yield Damage(f"{line!r} has no {separator!r}", line=number)
        pairs[key.strip()] = value.strip()
    missing = [key for key in required if key not in pairs]
    if missing:
        yield Damage(f"{', '.join(missing)} missing", line=1)
    yield Entry("settings", None, pairs)
