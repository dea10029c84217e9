"""Which reader a file of a data directory needs: its name tells."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from barnabas.dump.finding import Findings
from barnabas.dump.internal_records import decoder
from barnabas.dump.offset_index import read_offset_index
from barnabas.dump.producer_snapshot import read_producer_snapshot
from barnabas.dump.segment import read_segment
from barnabas.dump.settings_file import (
    read_clean_shutdown,
    read_json_file,
    read_meta_properties,
    read_partition_metadata,
)
from barnabas.dump.text_checkpoint import (
    read_checksums,
    read_leader_epoch_checkpoint,
    read_offset_checkpoint,
)
from barnabas.dump.time_index import read_time_index
from barnabas.dump.transaction_index import read_transaction_index

Reader = Callable[[Path], Findings]

_BY_SUFFIX: Final[dict[str, Reader]] = {
    ".log": read_segment,
    ".checkpoint": read_segment,  # KRaft's snapshots
    ".index": read_offset_index,
    ".timeindex": read_time_index,
    ".txnindex": read_transaction_index,
    ".snapshot": read_producer_snapshot,
    ".crc": read_checksums,
}
_BY_NAME: Final[dict[str, Reader]] = {
    "leader-epoch-checkpoint": read_leader_epoch_checkpoint,
    "recovery-point-offset-checkpoint": read_offset_checkpoint,
    "log-start-offset-checkpoint": read_offset_checkpoint,
    "replication-offset-checkpoint": read_offset_checkpoint,
    "cleaner-offset-checkpoint": read_offset_checkpoint,
    "partition.metadata": read_partition_metadata,
    "meta.properties": read_meta_properties,
    ".kafka_cleanshutdown": read_clean_shutdown,
    "quorum-state": read_json_file,
}
# What a broker appends to the name of a file that it is about to replace or delete, or has set
# aside because it is corrupt.
_IN_TRANSIT: Final = re.compile(r"(\.deleted|\.cleaned|\.swap|\.corrupt-\d+(-\d+)?)$")
_PARTITION_DIR: Final = re.compile(r"(?P<topic>.+)-\d+(\.[0-9a-f]{32}-(delete|stray))?$")


def files_below(path: Path) -> Iterator[Path]:
    """The file itself, or the files of a directory and all below it that have a reader."""
    if not path.is_dir():
        yield path
        return
    for child in sorted(path.iterdir()):
        if child.is_dir() and not child.is_symlink():
            yield from files_below(child)
        elif child.is_file() and _reader_of(child.name) is not None:
            yield child


def read_file(path: Path, with_records: bool) -> Findings | None:
    """What the file holds; None when nothing here reads such a file."""
    reader = _reader_of(path.name)
    if reader is None:
        return None
    if reader is read_segment:
        return read_segment(path, with_records, decoder(topic_of(path)))
    return reader(path)


def topic_of(path: Path) -> str:
    """The topic of a partition's file by its directory's name; "" when that is none."""
    match = _PARTITION_DIR.fullmatch(path.absolute().parent.name)
    return match["topic"] if match else ""


def _reader_of(name: str) -> Reader | None:
    name = _IN_TRANSIT.sub("", name)
    return _BY_NAME.get(name) or _BY_SUFFIX.get(Path(name).suffix)
