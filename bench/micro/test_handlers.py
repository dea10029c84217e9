"""Requests to the control plane: from the bytes of a request to those of its answer."""

import struct

import pytest
from kio.serial import entity_reader
from pytest_benchmark.fixture import BenchmarkFixture

from barnabas.protocol.codec import schema_class

from .conftest import API_BY_NAME, ControlPlane

HEARTBEAT, METADATA, OFFSET_COMMIT = 4, 12, 9
TOPICS, PARTITIONS = 100, 10


def join(plane: ControlPlane, group_id: str) -> tuple[int, str]:
    """The generation and member id of the only member of a group."""
    plane.prepare("FindCoordinator", 0, waits=True, key=group_id)()
    fields = {
        "group_id": group_id,
        "session_timeout": 60_000,
        "rebalance_timeout": 60_000,
        "protocol_type": "consumer",
        "protocols": [{"name": "range", "metadata": b"meta"}],
    }
    answer = plane.prepare("JoinGroup", 3, waits=True, **fields)()
    response_type = schema_class(API_BY_NAME["JoinGroup"], 3, "response")
    joined, _ = entity_reader(response_type)(answer, struct.calcsize(">i"))
    member = {
        "group_id": group_id,
        "generation_id": joined.generation_id,
        "member_id": joined.member_id,
    }
    shares = [{"member_id": joined.member_id, "assignment": b"share"}]
    plane.prepare("SyncGroup", 3, waits=True, assignments=shares, **member)()
    return joined.generation_id, joined.member_id


def test_heartbeat_request(benchmark: BenchmarkFixture, control_plane: ControlPlane) -> None:
    generation_id, member_id = join(control_plane, "group")
    answer = control_plane.prepare(
        "Heartbeat",
        HEARTBEAT,
        group_id="group",
        generation_id=generation_id,
        member_id=member_id,
        group_instance_id=None,
    )
    assert benchmark(answer)[-3:-1] == b"\0\0"  # no error


@pytest.mark.parametrize("topics", [1, TOPICS], ids="{}_topics".format)
def test_metadata_request(
    benchmark: BenchmarkFixture, control_plane: ControlPlane, topics: int
) -> None:
    control_plane.create_topics(topics, PARTITIONS)
    names = [{"name": f"topic-{number}", "topic_id": None} for number in range(topics)]
    answer = control_plane.prepare("Metadata", METADATA, topics=names)
    assert len(benchmark(answer)) > topics * PARTITIONS * 20


def test_offset_commit_request(benchmark: BenchmarkFixture, control_plane: ControlPlane) -> None:
    """One partition; waits for the append to `__consumer_offsets`."""
    control_plane.create_topics(1, 1)
    generation_id, member_id = join(control_plane, "group")
    partition = {"partition_index": 0, "committed_offset": 5, "committed_metadata": ""}
    answer = control_plane.prepare(
        "OffsetCommit",
        OFFSET_COMMIT,
        waits=True,
        group_id="group",
        generation_id_or_member_epoch=generation_id,
        member_id=member_id,
        group_instance_id=None,
        topics=[{"name": "topic-0", "partitions": [partition]}],
    )
    assert b"topic-0" in benchmark(answer)
