"""The kinds of resources that have configurations, as the APIs about them number them."""

from typing import Final

from kio.schema.errors import ErrorCode

from barnabas.errors import KafkaError
from barnabas.handlers.call import Call

TOPIC: Final = 2
BROKER: Final = 4
BROKER_LOGGER: Final = 8
CLIENT_METRICS: Final = 16
GROUP: Final = 32


def check_broker_id(call: Call, name: str, empty: str) -> None:
    """Whether a resource's name is this broker's id; `empty` is the error of no name. Raises
    KafkaError.
    """
    node_id = call.services.identity.node_id
    if not name:
        raise KafkaError(ErrorCode.invalid_request, empty)
    if not name.isdecimal():
        raise KafkaError(
            ErrorCode.invalid_request, f"Broker id must be an integer, but it is: {name}"
        )
    if name != str(node_id):
        raise KafkaError(
            ErrorCode.invalid_request,
            f"Unexpected broker id, expected {node_id} but received {name}",
        )
