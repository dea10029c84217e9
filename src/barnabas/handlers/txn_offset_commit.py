"""TxnOffsetCommit (API key 28), versions 0-5: how far a group has read, as part of a transaction.

The offsets count when the transaction is committed; until then they are pending. Version 3 names
the member (KIP-447), which may have been replaced; 4 knows TRANSACTION_ABORTABLE; 5 adds the
group's partition of `__consumer_offsets` to the transaction (KIP-890), which before is asked for
with AddOffsetsToTxn, and looked up here.
"""

from functools import partial
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.pending import PendingReply
from barnabas.state.effects import Producer
from barnabas.state.group.commit import DEFAULT_RETENTION, CommitRequest, OffsetToCommit
from barnabas.state.group.records import NO_LEADER_EPOCH
from barnabas.state.group.responses import CommitResponse
from barnabas.state.txn.records import EPOCH_BUMP
from barnabas.state.txn.requests import AddRequest

LOADING_FROM_VERSION = 2
ABORTABLE_FROM_VERSION = 4
ADDS_PARTITION_FROM_VERSION = 5
NO_GENERATION = -1
VERIFICATION = "transaction.partition.verification.enable"


def handle(call: Call) -> Response:
    """Makes sure that the offsets are part of the transaction, then passes them on."""
    offsets = _offsets(call)
    if not offsets:
        return _encode(call, CommitResponse())
    services = call.services
    request = call.request
    if not request.group_id:
        return error_response(call, ErrorCode.invalid_group_id)
    if not services.groups.is_open:
        return error_response(call, ErrorCode.not_coordinator)
    add = AddRequest(
        transactional_id=request.transactional_id,
        producer=Producer(request.producer_id, request.producer_epoch),
        partitions=frozenset({services.groups.partition_of(request.group_id)}),
        client_transaction_version=EPOCH_BUMP,
    )
    reply = PendingReply(partial(_encode, call))
    # From here to the queue of appends nothing waits: no marker comes between.
    commit = partial(_commit, call, add.producer, offsets, reply)
    if call.version >= ADDS_PARTITION_FROM_VERSION:
        services.transactions.add_partitions(add, commit)
    elif services.config.boolean(VERIFICATION):
        (error,) = services.transactions.verify_partitions(add).values()
        commit(error)
    else:
        commit(ErrorCode.none)
    return reply.future


def _offsets(call: Call) -> list[OffsetToCommit]:
    """The offsets of partitions that exist."""
    return [
        OffsetToCommit(
            topic.name,
            item.partition_index,
            item.committed_offset,
            getattr(item, "committed_leader_epoch", NO_LEADER_EPOCH),
            item.committed_metadata or "",
        )
        for topic in call.request.topics
        for item in topic.partitions
        if _exists(call, topic.name, item.partition_index)
    ]


def _exists(call: Call, topic: str, partition: int) -> bool:
    record = call.services.catalog.topic(topic)
    return record is not None and 0 <= partition < len(record.partitions)


def _commit(
    call: Call,
    producer: Producer,
    offsets: list[OffsetToCommit],
    reply: PendingReply,
    error: ErrorCode,
) -> None:
    if error is ErrorCode.producer_fenced:
        error = ErrorCode.invalid_producer_epoch
    elif error is ErrorCode.transaction_abortable and call.version < ABORTABLE_FROM_VERSION:
        error = ErrorCode.invalid_txn_state
    if error is not ErrorCode.none:
        reply(CommitResponse(error=error))
        return
    request = call.request
    commit = CommitRequest(
        group_id=request.group_id,
        generation_id=getattr(request, "generation_id", NO_GENERATION),
        member_id=getattr(request, "member_id", ""),
        group_instance_id=getattr(request, "group_instance_id", None),
        retention_ms=DEFAULT_RETENTION,
        knows_group_id_not_found=False,
        offsets=offsets,
        producer=producer,
    )
    call.services.groups.commit(commit, reply)


def _encode(call: Call, response: CommitResponse) -> bytes:
    rejected = response.rejected or {}
    error = response.error
    if error is ErrorCode.coordinator_load_in_progress and call.version < LOADING_FROM_VERSION:
        error = ErrorCode.coordinator_not_available  # the other one ended such clients

    def partition(topic: str, item: Any) -> dict[str, Any]:
        index = item.partition_index
        told = rejected.get((topic, index), error)
        if not _exists(call, topic, index):
            told = ErrorCode.unknown_topic_or_partition
        return {"partition_index": index, "error_code": told}

    return call.response(
        topics=[
            {
                "name": topic.name,
                "partitions": [partition(topic.name, item) for item in topic.partitions],
            }
            for topic in call.request.topics
        ]
    )


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    return _encode(call, CommitResponse(error=error))
