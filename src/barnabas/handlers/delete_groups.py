"""DeleteGroups (API key 42), versions 0-2: groups without members go, with their offsets."""

import asyncio

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call


async def handle(call: Call) -> bytes:
    """Answers when all tombstones are stored; each group has its own error, once."""
    loop = asyncio.get_running_loop()
    results: dict[str, asyncio.Future[ErrorCode]] = {}
    for group_id in dict.fromkeys(call.request.groups_names):
        result: asyncio.Future[ErrorCode] = loop.create_future()
        call.services.groups.delete_group(group_id, result.set_result)
        results[group_id] = result
    errors = await asyncio.gather(*results.values())
    return _encode(call, dict(zip(results, errors, strict=True)))


def _encode(call: Call, errors: dict[str, ErrorCode]) -> bytes:
    return call.response(
        results=[{"group_id": group_id, "error_code": error} for group_id, error in errors.items()]
    )


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    return _encode(call, dict.fromkeys(call.request.groups_names, error))
