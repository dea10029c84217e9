"""The offsets of a topic in OffsetCommit and TxnOffsetCommit, which name them alike."""

from typing import Any

from barnabas.state.group.commit import OffsetToCommit
from barnabas.state.group.records import NO_LEADER_EPOCH, NO_TOPIC_ID


def offsets_of(topic: Any, name: str, topic_id: bytes = NO_TOPIC_ID) -> list[OffsetToCommit]:
    """Of each partition that the request names of a topic. Leader epochs are there since some
    version of each request; metadata may be null.
    """
    return [
        OffsetToCommit(
            name,
            item.partition_index,
            item.committed_offset,
            getattr(item, "committed_leader_epoch", NO_LEADER_EPOCH),
            item.committed_metadata or "",
            topic_id,
        )
        for item in topic.partitions
    ]
