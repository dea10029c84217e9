"""TxnOffsetCommit (API key 28), versions 0-5: how far a group has read, as part of a transaction.

The offsets count when the transaction is committed; until then they are pending. Version 3 names
the member (KIP-447), which may have been replaced; 4 knows TRANSACTION_ABORTABLE; 5 adds the
group's partition of `__consumer_offsets` to the transaction (KIP-890), which before is asked for
with AddOffsetsToTxn, and looked up here.
"""

from functools import partial

from kio.schema.errors import ErrorCode

from barnabas.coordinator.txn_coordinator import OffsetsMembership
from barnabas.handlers.call import Call, Response
from barnabas.handlers.offsets_to_commit import offsets_of
from barnabas.handlers.pending import PendingReply
from barnabas.state.effects import Producer
from barnabas.state.group.commit import DEFAULT_RETENTION, CommitRequest
from barnabas.state.group.responses import NO_GENERATION, CommitResponse

LOADING_FROM_VERSION = 2
ABORTABLE_FROM_VERSION = 4
ADDS_PARTITION_FROM_VERSION = 5
VERIFICATION = "transaction.partition.verification.enable"


def handle(call: Call) -> Response:
    """Passes the offsets on, for the coordinator to make them part of the transaction."""
    request = call.request
    commit = CommitRequest(
        group_id=request.group_id,
        generation_id=getattr(request, "generation_id", NO_GENERATION),
        member_id=getattr(request, "member_id", ""),
        group_instance_id=getattr(request, "group_instance_id", None),
        retention_ms=DEFAULT_RETENTION,
        knows_group_id_not_found=False,
        offsets=[offset for topic in request.topics for offset in offsets_of(topic, topic.name)],
        producer=Producer(request.producer_id, request.producer_epoch),
    )
    reply = PendingReply(partial(_encode, call))
    call.services.transactions.commit_offsets(
        request.transactional_id, commit, reply, _membership(call)
    )
    return reply


def _membership(call: Call) -> OffsetsMembership:
    if call.version >= ADDS_PARTITION_FROM_VERSION:
        return OffsetsMembership.ADDED
    is_verified = call.services.config.boolean(VERIFICATION)
    return OffsetsMembership.VERIFIED if is_verified else OffsetsMembership.TAKEN_FOR_GRANTED


def _encode(call: Call, response: CommitResponse) -> bytes:
    rejected = response.rejected or {}
    error = _error_for(call.version, response.error)
    return call.response(
        topics=[
            {
                "name": topic.name,
                "partitions": [
                    {
                        "partition_index": item.partition_index,
                        "error_code": rejected.get((topic.name, item.partition_index), error),
                    }
                    for item in topic.partitions
                ],
            }
            for topic in call.request.topics
        ]
    )


def _error_for(version: int, error: ErrorCode) -> ErrorCode:
    """What a client of that version is told."""
    if error is ErrorCode.producer_fenced:
        return ErrorCode.invalid_producer_epoch
    if error is ErrorCode.transaction_abortable and version < ABORTABLE_FROM_VERSION:
        return ErrorCode.invalid_txn_state
    if error is ErrorCode.coordinator_load_in_progress and version < LOADING_FROM_VERSION:
        return ErrorCode.coordinator_not_available  # the other one ended such clients
    return error


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    return _encode(call, CommitResponse(error=error))
