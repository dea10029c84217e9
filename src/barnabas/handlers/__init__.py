"""One module per API key, named after it; `protocol/apis.py` says which.

A module has

    def handle(call: Call) -> Response            # bytes, or what waits for them
    async def handle(call: Call) -> bytes         # where something is waited for

`call.request` is kio's entity of exactly `call.version`. The answer is made from keyword fields,
with kio's names, for all versions at once:

    return call.response(error_code=ErrorCode.none, members=[{"member_id": "m"}])

which drops what the version lacks and fills in the schema's defaults; nested entities are mappings,
or bytes encoded before. Handlers run on the broker loop's thread: what may wait for a disk goes
through `Services.disk_calls`.

An exception is logged once and answered UNKNOWN_SERVER_ERROR: by the module's own

    def error_response(call: Call, error: ErrorCode) -> bytes

where there is one, else by the response's top-level error code. A response that has neither closes
the connection. A handler that answers with an error on purpose does so itself.
"""
