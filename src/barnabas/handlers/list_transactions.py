"""ListTransactions (API key 66), versions 0-2: the transactional ids of this broker (KIP-664).

By state and producer id; version 1 by how long a transaction has been open, in ms (KIP-994); 2 by a
pattern that the whole transactional id has to match (KIP-1152). The pattern is a regular expression
of Java's re2j; one that could take long to match here is refused as invalid.
"""

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call
from barnabas.state.pattern import BadPattern, compile_pattern
from barnabas.state.txn.records import TransactionState
from barnabas.state.txn.requests import ListFilter

_STATES = frozenset(state.value for state in TransactionState)


def handle(call: Call) -> bytes:
    """Answers at once."""
    request = call.request
    pattern = getattr(request, "transactional_id_pattern", None)
    try:
        matches = compile_pattern(pattern) if pattern else None
    except BadPattern:
        return error_response(call, ErrorCode.invalid_regular_expression)
    wanted = ListFilter(
        producer_ids=frozenset(request.producer_id_filters),
        states=frozenset(request.state_filters),
        longer_than_ms=getattr(request, "duration_filter", -1),
    )
    found, error = call.services.transactions.listed(wanted)
    if error is not ErrorCode.none:
        return error_response(call, error)
    return call.response(
        error_code=ErrorCode.none,
        unknown_state_filters=[name for name in request.state_filters if name not in _STATES],
        transaction_states=[
            {
                "transactional_id": item.transactional_id,
                "producer_id": item.producer_id,
                "transaction_state": item.state.value,
            }
            for item in found
            if matches is None or matches(item.transactional_id)
        ],
    )


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error alone."""
    return call.response(error_code=error, unknown_state_filters=[], transaction_states=[])
