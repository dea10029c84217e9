"""The answer to Produce and Fetch that a test wants to fail; all others are the data plane's."""

from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call

PRODUCE_KEY = 0


def error_response(call: Call, error: ErrorCode) -> bytes | None:
    """Produce (3-13) and Fetch (4-18): the error for each partition that is asked for.

    None where nothing can be answered: to a Produce with acks=0. A Fetch that names no partition,
    because its session knows them, gets the error as a whole.
    """
    request = call.request
    if request.__api_key__ == PRODUCE_KEY:
        if request.acks == 0:
            return None
        return call.response(
            responses=[
                _topic(topic)
                | {
                    "partition_responses": [
                        {"index": part.index, "error_code": error, "base_offset": -1}
                        for part in topic.partition_data
                    ]
                }
                for topic in request.topic_data
            ]
        )
    if not request.topics:
        return call.response(error_code=error)
    return call.response(
        responses=[
            _topic(topic)
            | {
                "partitions": [
                    {
                        "partition_index": part.partition,
                        "error_code": error,
                        "high_watermark": -1,
                        "records": None,
                    }
                    for part in topic.partitions
                ]
            }
            for topic in request.topics
        ]
    )


def _topic(topic: Any) -> dict[str, Any]:
    """How an answer names it: by id or by name, as it was asked for."""
    names = ("topic_id", "topic", "name")
    return {name: getattr(topic, name) for name in names if hasattr(topic, name)}
