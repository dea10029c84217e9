"""What lies in a data directory of Kafka's: partitions, by the names of their directories.

    <topic>-<n>                       a partition
    <topic>-<n>.<32 hex>-future       a partition that was moving here from another directory
    <topic>-<n>.<32 hex>-stray        one that Kafka's metadata did not have: left alone
    <topic>-<n>.<32 hex>-delete       one that was being deleted: the core finishes it

Reads, and writes nothing.
"""

import base64
import re
from pathlib import Path
from typing import Final, NamedTuple

from barnabas.config.properties import parse_properties
from barnabas.config.start import META_PROPERTIES
from barnabas.errors import ConfigError
from barnabas.state.internal_topics import CLUSTER_METADATA

METADATA_LOG: Final = f"{CLUSTER_METADATA}-0"
"""The directory of Kafka's metadata log."""

_PARTITION: Final = re.compile(r"(.+)-(0|[1-9]\d*)")
_FUTURE: Final = re.compile(r"(.+)-(\d+)\.[0-9a-f]{32}-future")
_TOPIC_ID: Final = re.compile(r"topic_id: ([A-Za-z0-9_-]{22})")
_EPOCH_ENTRY: Final = re.compile(r"(\d+) \d+")
_CHECKPOINT_ENTRY: Final = re.compile(r"(\S+) (\d+) (-?\d+)")

PartitionName = tuple[str, int]


class PartitionDirectory(NamedTuple):
    """What a partition's directory says of itself."""

    topic_id: bytes | None
    latest_epoch: int  # of the leaders that have written to it; 0 when nothing says


class DirectoryContents(NamedTuple):
    """What lies in a data directory."""

    partitions: dict[PartitionName, PartitionDirectory]
    futures: dict[PartitionName, Path]
    compacted: frozenset[PartitionName]  # Kafka's cleaner has been at these


def read_contents(directory: Path) -> DirectoryContents:
    """Looks through a data directory."""
    partitions: dict[PartitionName, PartitionDirectory] = {}
    futures: dict[PartitionName, Path] = {}
    for path in sorted(directory.iterdir()):
        if not path.is_dir():
            continue
        if match := _PARTITION.fullmatch(path.name):
            found = PartitionDirectory(_topic_id(path), _latest_epoch(path))
            partitions[match[1], int(match[2])] = found
        elif match := _FUTURE.fullmatch(path.name):
            futures[match[1], int(match[2])] = path
    return DirectoryContents(partitions, futures, _compacted(directory))


def metadata_position(directory: Path) -> str | None:
    """Where the metadata log of a data directory ends, cheaply: it changes with whatever Kafka
    writes, as each start of it does. None when there is no such log.
    """
    log = directory / METADATA_LOG
    if not log.is_dir():
        return None
    newest = max(log.glob("*.log"), key=lambda path: path.name, default=None)
    return "" if newest is None else f"{newest.name}:{newest.stat().st_size}"


def _topic_id(partition_directory: Path) -> bytes | None:
    match = _TOPIC_ID.search(_text(partition_directory / "partition.metadata"))
    return None if match is None else decode_id(match[1])


def _latest_epoch(partition_directory: Path) -> int:
    text = _text(partition_directory / "leader-epoch-checkpoint")
    entries = (_EPOCH_ENTRY.fullmatch(line) for line in text.splitlines()[2:])
    return max((int(match[1]) for match in entries if match), default=0)


def _text(path: Path) -> str:
    """A small file's text; nothing when it is not there."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def read_cluster_id(directory: Path) -> str:
    """The cluster that a data directory belongs to; empty when it does not say."""
    try:
        return parse_properties((directory / META_PROPERTIES).read_text()).get("cluster.id", "")
    except (OSError, UnicodeDecodeError, ConfigError):
        return ""


def decode_id(text: str) -> bytes:
    """The bytes of one of Kafka's ids: url-safe base64 without padding."""
    return base64.urlsafe_b64decode(text + "==")


def _compacted(directory: Path) -> frozenset[PartitionName]:
    text = _text(directory / "cleaner-offset-checkpoint")
    entries = (_CHECKPOINT_ENTRY.fullmatch(line) for line in text.splitlines()[2:])
    return frozenset((match[1], int(match[2])) for match in entries if match)
