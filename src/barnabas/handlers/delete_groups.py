"""DeleteGroups (API key 42), versions 0-2: groups without members go, with their offsets."""

import asyncio

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call


async def handle(call: Call) -> bytes:
    """Answers when all tombstones are stored; each group has its own error."""
    loop = asyncio.get_running_loop()
    results: list[asyncio.Future[ErrorCode]] = []
    for group_id in call.request.groups_names:
        result: asyncio.Future[ErrorCode] = loop.create_future()
        call.services.groups.delete_group(group_id, result.set_result)
        results.append(result)
    return _encode(call, await asyncio.gather(*results))


def _encode(call: Call, errors: list[ErrorCode]) -> bytes:
    return call.response(
        results=[
            {"group_id": group_id, "error_code": error}
            for group_id, error in zip(call.request.groups_names, errors, strict=True)
        ]
    )


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    return _encode(call, [error] * len(call.request.groups_names))
