"""What a fenced producer is told: clients before KIP-588 know one error for it only."""

from kio.schema.errors import ErrorCode


def told_to_producer(error: ErrorCode, version: int, *, fenced_from_version: int) -> ErrorCode:
    """PRODUCER_FENCED as clients of this version understand it."""
    if error is ErrorCode.producer_fenced and version < fenced_from_version:
        return ErrorCode.invalid_producer_epoch
    return error
