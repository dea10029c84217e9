"""Writes metadata logs and snapshots as Kafka's controllers do, for tests that need a certain
one.
"""

import base64
import struct
from collections.abc import Sequence
from pathlib import Path

from barnabas._records import encode_batch

LEADER_CHANGE, SNAPSHOT_HEADER, SNAPSHOT_FOOTER, KRAFT_VERSION, VOTERS_OF_THREE = 2, 3, 4, 5, 6
NODE_ID = 1
DIRECTORY_ID = bytes(range(100, 116))
CLUSTER_ID = "Y2x1c3Rlci1vZi10ZXN0cw"


def uvarint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def text(value: str | None) -> bytes:
    if value is None:
        return b"\0"
    data = value.encode()
    return uvarint(len(data) + 1) + data


def ids(numbers: Sequence[int]) -> bytes:
    return uvarint(len(numbers) + 1) + b"".join(struct.pack(">i", n) for n in numbers)


def uuids(values: Sequence[bytes]) -> bytes:
    return uvarint(len(values) + 1) + b"".join(values)


def frame(
    api_key: int, body: bytes, version: int = 0, tags: dict[int, bytes] | None = None
) -> bytes:
    """A record's value: body without its tagged fields, which are given apart."""
    fields = b"".join(
        uvarint(tag) + uvarint(len(data)) + data for tag, data in sorted((tags or {}).items())
    )
    head = uvarint(1) + uvarint(api_key) + uvarint(version)
    return head + body + uvarint(len(tags or {})) + fields


def topic(name: str, topic_id: bytes) -> bytes:
    return frame(2, text(name) + topic_id)


def partition(
    topic_id: bytes,
    number: int,
    *,
    replicas: Sequence[int] = (NODE_ID,),
    isr: Sequence[int] | None = None,
    leader_epoch: int = 0,
    directories: Sequence[bytes] | None = (DIRECTORY_ID,),
) -> bytes:
    body = struct.pack(">i", number) + topic_id + ids(replicas)
    body += ids(replicas if isr is None else isr) + ids(()) + ids(())
    body += struct.pack(">iii", replicas[0], leader_epoch, 0)
    if directories is None:
        return frame(3, body)
    # An unclean election and eligible leaders: tags that are passed over.
    return frame(3, body + uuids(directories), 2, {0: b"\x01", 1: ids((1,))})


def partition_change(
    topic_id: bytes,
    number: int,
    *,
    leader: int | None = None,
    isr: Sequence[int] | None = None,
    replicas: Sequence[int] | None = None,
    directories: Sequence[bytes] | None = None,
) -> bytes:
    tags: dict[int, bytes] = {6: ids((1,))}
    if isr is not None:
        tags[0] = ids(isr)
    if leader is not None:
        tags[1] = struct.pack(">i", leader)
    if replicas is not None:
        tags[2] = ids(replicas)
    if directories is not None:
        tags[8] = uuids(directories)
    return frame(5, struct.pack(">i", number) + topic_id, 2, tags)


def remove_topic(topic_id: bytes) -> bytes:
    return frame(9, topic_id)


def config(resource_type: int, resource: str, name: str, value: str | None) -> bytes:
    return frame(4, struct.pack(">b", resource_type) + text(resource) + text(name) + text(value))


def producer_ids(next_id: int) -> bytes:
    return frame(15, struct.pack(">iqq", NODE_ID, 7, next_id))


def acl() -> bytes:
    return frame(18, bytes(16))


def begin_transaction() -> bytes:
    return frame(23, b"", tags={0: text("why")})


def end_transaction() -> bytes:
    return frame(24, b"")


def abort_transaction() -> bytes:
    return frame(25, b"")


def batch(values: Sequence[bytes], base_offset: int, epoch: int = 1) -> bytes:
    return encode_batch(
        [(None, value) for value in values], base_offset=base_offset, leader_epoch=epoch
    )


def control(kind: int, base_offset: int, epoch: int = 1) -> bytes:
    value = b"\0\0\x04" if kind == VOTERS_OF_THREE else b"\0\0"  # only as far as it is read
    records = [(struct.pack(">hh", 0, kind), value)]
    return encode_batch(records, base_offset=base_offset, leader_epoch=epoch, control=True)


class DataDir:
    """A data directory of Kafka's, in the making."""

    def __init__(self, path: Path, *, with_metadata: bool = True) -> None:
        self.path = path
        self.metadata = path / "__cluster_metadata-0"
        path.mkdir()
        directory_id = base64.urlsafe_b64encode(DIRECTORY_ID).decode().rstrip("=")
        (path / "meta.properties").write_text(
            f"#\n#Thu\nnode.id={NODE_ID}\ndirectory.id={directory_id}\nversion=1\n"
            f"cluster.id={CLUSTER_ID}\n"
        )
        (path / ".kafka_cleanshutdown").write_text('{"version":0,"brokerEpoch":9}')
        if with_metadata:
            self.metadata.mkdir()
            (self.metadata / "quorum-state").write_text(
                '{"leaderId":1,"leaderEpoch":1,"votedId":-1,"currentVoters":[{"voterId":1}],'
                '"data_version":0}'
            )

    def log(self, *batches: Sequence[bytes] | int, base_offset: int = 0) -> Path:
        """A segment of the metadata log: batches of records, and control batches by their kind."""
        out, offset = b"", base_offset
        for one in batches:
            if isinstance(one, int):
                out += control(one, offset)
                offset += 1
            else:
                out += batch(one, offset)
                offset += len(one)
        path = self.metadata / f"{base_offset:020}.log"
        path.write_bytes(out)
        return path

    def snapshot(self, end_offset: int, *values: bytes, footer: bool = True) -> Path:
        path = self.metadata / f"{end_offset:020}-0000000001.checkpoint"
        data = control(SNAPSHOT_HEADER, 0) + batch(values, 1)
        if footer:
            data += control(SNAPSHOT_FOOTER, 1 + len(values))
        path.write_bytes(data)
        return path

    def partition(self, name: str, topic_id: bytes | None, values: Sequence[bytes] = ()) -> Path:
        """A partition's directory with one batch."""
        path = self.path / name
        path.mkdir()
        if topic_id is not None:
            shown = base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
            (path / "partition.metadata").write_text(f"version: 0\ntopic_id: {shown}")
        data = batch(values, 0, 0) if values else b""
        (path / f"{0:020}.log").write_bytes(data)
        return path
