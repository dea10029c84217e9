"""The broker loop: takes control requests from the core, dispatches them, answers.

Runs on one asyncio loop in one thread. The core's eventfd wakes it; requests are taken and
answered many at a time. A handler that waits is a task; what finishes in one pass of the loop is
answered together. No request is left without an answer or a closed connection: a client that
waits for ever is worse off than one that reconnects.
"""

import asyncio
import importlib
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.pending import Answer, PendingReply
from barnabas.protocol.apis import API_BY_KEY, API_VERSIONS_KEY, Api
from barnabas.protocol.codec import BadRequest, Codec, codec_for

if TYPE_CHECKING:
    from barnabas._core import ControlRequest, Core
    from barnabas.handlers.services import Services

logger = logging.getLogger(__name__)

DATA_PLANE = "barnabas.handlers.data_plane"
"""Answers for what the data plane serves, when a test wants a request to fail."""

# Requests taken in one pass: timers and finished tasks get their turn in between.
BATCH_LIMIT = 256


class _Route:
    """A handler and the codec of one API in one version."""

    __slots__ = ("api", "codec", "handle", "module")

    def __init__(self, api: Api, version: int) -> None:
        self.api = api
        self.module: Any = importlib.import_module(api.handler)
        self.handle: Callable[[Call], Response] = self.module.handle
        self.codec: Codec = codec_for(api, version)


class BrokerLoop:
    """Serves the control requests of one core. To be used on its loop's thread only."""

    def __init__(self, core: "Core", services: "Services") -> None:
        self._core = core
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._routes: dict[tuple[int, int], _Route] = {}
        self._answers: list[tuple[int, bytes]] = []
        self._flush_scheduled = False
        self._in_flight: set[asyncio.Future[bytes]] = set()
        self._pending: dict[PendingReply, int] = {}  # the tokens of their requests

    def start(self) -> None:
        """Begins to take requests."""
        self._loop.add_reader(self._core.control_fd(), self._take)

    async def stop(self) -> None:
        """Takes no more requests and gives up those that wait."""
        self._loop.remove_reader(self._core.control_fd())
        in_flight = [*self._in_flight]
        for future in in_flight:
            future.cancel()
        for token in self._pending.values():
            self._core.close_connection(token)
        self._pending.clear()
        await asyncio.gather(*in_flight, return_exceptions=True)

    def _take(self) -> None:
        # What is left beyond the limit keeps the eventfd readable.
        requests = self._core.take_requests(BATCH_LIMIT)
        for request in requests:
            try:
                self._dispatch(request)
            except Exception:
                logger.exception("a request of API key %d failed", request.api_key)
                self._core.close_connection(request.token)
        self._flush()

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._answers:
            answers, self._answers = self._answers, []
            self._core.respond_many(answers)

    def _dispatch(self, request: "ControlRequest") -> None:
        version = request.api_version
        if request.fault:
            self._answer_fault(request, ErrorCode(request.fault))
            return
        route = self._routes.get((request.api_key, version))
        if route is None:
            route = self._find_route(request)
            if route is None:
                return
        codec = route.codec
        call = self._call(request, codec, route.api.name)
        if call is None:
            return
        try:
            response = route.handle(call)
        except Exception as error:
            self._fail(request, route, call, error)
            return
        if isinstance(response, bytes):
            self._answers.append((request.token, codec.frame(request.correlation_id, response)))
            return
        if isinstance(response, PendingReply):
            self._pending[response] = request.token
            response.send_to(partial(self._answer_pending, request, route, call, response))
            return
        future = asyncio.ensure_future(response)
        self._in_flight.add(future)
        future.add_done_callback(partial(self._finish, request, route, call))

    def _call(self, request: "ControlRequest", codec: Codec, api_name: str) -> Call | None:
        """What a request asks for; None when it cannot be understood, and is dealt with."""
        try:
            entity = codec.decode(request.body)
        except BadRequest as error:
            logger.info(
                "closing the connection from %s: %s request: %s", request.peer_host, api_name, error
            )
            self._core.close_connection(request.token)
            return None
        return Call(
            codec,
            request.api_version,
            entity,
            client_id=request.client_id,
            peer_host=request.peer_host,
            services=self._services,
        )

    def _answer_fault(self, request: "ControlRequest", error: ErrorCode) -> None:
        """Does nothing but answer, with the error that a test wants."""
        api = API_BY_KEY[request.api_key]
        module = importlib.import_module(DATA_PLANE if api.is_native else api.handler)
        codec = codec_for(api, request.api_version)
        call = self._call(request, codec, api.name)
        if call is None:
            return
        message = _error_message(module, call, error)
        if message is None:
            self._core.close_connection(request.token)
        else:
            self._answers.append((request.token, codec.frame(request.correlation_id, message)))

    def _find_route(self, request: "ControlRequest") -> _Route | None:
        """The route of a version not asked for before; None when the request is dealt with."""
        api = API_BY_KEY.get(request.api_key)
        version = request.api_version
        if api is None or api.is_native:
            self._refuse(request, "an API that is not served")
            return None
        if not api.min_version <= version <= api.max_version:
            if api.key == API_VERSIONS_KEY:
                self._answer_unsupported_version(request, api)
            else:
                self._refuse(request, f"{api.name} in a version that is not served")
            return None
        route = self._routes[request.api_key, version] = _Route(api, version)
        return route

    def _refuse(self, request: "ControlRequest", reason: str) -> None:
        logger.info(
            "closing the connection from %s: %s (API key %d, version %d)",
            request.peer_host,
            reason,
            request.api_key,
            request.api_version,
        )
        self._core.close_connection(request.token)

    def _answer_unsupported_version(self, request: "ControlRequest", api: Api) -> None:
        """ApiVersions is how a client learns what it may ask: it gets an answer it can read."""
        codec = codec_for(api, 0)
        ranges = [
            {"api_key": api.key, "min_version": api.min_version, "max_version": api.max_version}
        ]
        message = codec.encode({"error_code": ErrorCode.unsupported_version, "api_keys": ranges})
        self._answer_soon(request.token, codec.frame(request.correlation_id, message))

    def _finish(
        self, request: "ControlRequest", route: _Route, call: Call, future: "asyncio.Future[bytes]"
    ) -> None:
        self._in_flight.discard(future)
        if future.cancelled():
            self._core.close_connection(request.token)
        elif error := future.exception():
            self._fail(request, route, call, error)
        else:
            frame = route.codec.frame(request.correlation_id, future.result())
            self._answer_soon(request.token, frame)

    def _answer_pending(
        self,
        request: "ControlRequest",
        route: _Route,
        call: Call,
        reply: PendingReply,
        answer: Answer,
    ) -> None:
        if self._pending.pop(reply, None) is None:
            return  # given up
        if isinstance(answer, bytes):
            self._answer_soon(request.token, route.codec.frame(request.correlation_id, answer))
        else:
            self._fail(request, route, call, answer)

    def _fail(
        self, request: "ControlRequest", route: _Route, call: Call, error: BaseException
    ) -> None:
        logger.error("%s (version %d) failed", route.api.name, call.version, exc_info=error)
        try:
            message = _error_message(route.module, call, ErrorCode.unknown_server_error)
        except Exception:
            logger.exception("%s has no answer for its failure", route.api.name)
            message = None
        if message is None:
            self._core.close_connection(request.token)
        else:
            frame = route.codec.frame(request.correlation_id, message)
            self._answer_soon(request.token, frame)

    def _answer_soon(self, token: int, frame: bytes) -> None:
        self._answers.append((token, frame))
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)


def _error_message(module: Any, call: Call, error: ErrorCode) -> bytes | None:
    """An error of the whole request as the API says it; None when it cannot."""
    if hasattr(module, "error_response"):
        message: bytes | None = module.error_response(call, error)
        return message
    if hasattr(call.response_type, "error_code"):
        return call.response(error_code=error)
    return None
