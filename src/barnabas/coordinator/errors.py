"""What can go wrong with a coordinator's log: records that are none, appends that fail.

What clients are told when an append fails is Kafka's (CoordinatorRuntime).
"""

from kio.schema.errors import ErrorCode


class RecordError(Exception):
    """The bytes are no record of the coordinator's topic."""


_TOLD: dict[ErrorCode, ErrorCode] = {
    # The log is not writable for now: wait for it.
    ErrorCode.unknown_topic_or_partition: ErrorCode.coordinator_not_available,
    ErrorCode.not_enough_replicas: ErrorCode.coordinator_not_available,
    ErrorCode.not_enough_replicas_after_append: ErrorCode.coordinator_not_available,
    ErrorCode.request_timed_out: ErrorCode.coordinator_not_available,
    # Another broker may be able to: look for it.
    ErrorCode.not_leader_or_follower: ErrorCode.not_coordinator,
    ErrorCode.kafka_storage_error: ErrorCode.not_coordinator,
    # Trying again would be of no use.
    ErrorCode.message_too_large: ErrorCode.unknown_server_error,
    ErrorCode.record_list_too_large: ErrorCode.unknown_server_error,
    ErrorCode.invalid_fetch_size: ErrorCode.unknown_server_error,
}


def error_of(code: int) -> ErrorCode:
    """Kafka's error of a number, which the native core may have and this version of Kafka's not."""
    try:
        return ErrorCode(code)
    except ValueError:
        return ErrorCode.unknown_server_error


def told_for(code: int) -> ErrorCode:
    """The error to tell a client when an append has ended with Kafka's error `code`."""
    error = error_of(code)
    return _TOLD.get(error, error)
