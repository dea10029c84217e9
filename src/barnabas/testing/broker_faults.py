"""`Broker.faults`: requests to an embedded broker that go wrong where a test says.

    with broker.faults.fail("Produce", error="NOT_LEADER_OR_FOLLOWER", times=3) as fault:
        ...                                # three requests are refused, then all is well again
    assert fault.struck == 3

A fault concerns the requests of one API, by Kafka's name for it; with `client_id` those of one
client, with `connection` those of the connection from that port of the client's. It strikes the
first `times` of them, or all. It lasts until `remove()`, or the end of its `with` block: then what
is delayed is done, and connections with a dropped request are closed. It ends with its broker, too,
which closes all connections. Of several that match a request the one made first strikes. In-process
producers and consumers send no requests, and are not struck.

`Broker.faults.disk` has the faults of `barnabas.testing.faults`, for this broker's files. Those
that hold or delay a call end when the broker begins to close, the others once it is closed.
"""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple, ParamSpec

from kio.schema.errors import ErrorCode

from barnabas._core import Core, RequestEffect
from barnabas.arguments import check_delay, check_integer, check_text, wrong_type
from barnabas.errors import BrokerClosed
from barnabas.protocol.apis import APIS
from barnabas.testing import faults
from barnabas.wording import close_names, meant

P = ParamSpec("P")
When = Literal["before", "after"]
_KEYS: Final = {api.name: api.key for api in APIS}
_DROPS: Final = {"before": RequestEffect.DROP_BEFORE, "after": RequestEffect.DROP_AFTER}
_DISCONNECTS: Final = {
    "before": RequestEffect.DISCONNECT_BEFORE,
    "after": RequestEffect.DISCONNECT_AFTER,
}


class _Which(NamedTuple):
    """Of the requests of an API those that a fault strikes: see the module."""

    times: int | None
    client_id: str | None
    connection: int | None


class BrokerFaults:
    """Makes faults of one broker. All raise ValueError for what is not there to be named, TypeError
    for arguments of a wrong type, BrokerClosed.

    Safe to use from several threads.
    """

    def __init__(self, core: Core, directories: Sequence[Path]) -> None:
        self._core = core
        self.disk: Final = DiskFaults(directories)

    def fail(
        self,
        api: str,
        *,
        error: str | ErrorCode | None = None,
        times: int | None = None,
        client_id: str | None = None,
        connection: int | None = None,
    ) -> faults.Fault:
        """The request does nothing and is answered with one of Kafka's errors, for each of the
        partitions or resources in it where the API says errors so.
        """
        _check_api(api)
        return self._add(
            api, RequestEffect.FAIL, _error_code(error).value, _Which(times, client_id, connection)
        )

    def drop(
        self,
        api: str,
        *,
        when: When = "before",
        times: int | None = None,
        client_id: str | None = None,
        connection: int | None = None,
    ) -> faults.Fault:
        """The request is never answered: "before" it has done anything, or "after" it has. Nothing
        that its connection sends later is looked at; when the fault is removed it is closed.
        """
        return self._add(api, _choose(_DROPS, when), 0, _Which(times, client_id, connection))

    def delay(
        self,
        api: str,
        *,
        seconds: float,
        times: int | None = None,
        client_id: str | None = None,
        connection: int | None = None,
    ) -> faults.Fault:
        """The request waits so long before it takes effect, and with it what its connection sends
        later. With a virtual clock an advance shortens that.
        """
        return self._add(
            api,
            RequestEffect.DELAY,
            check_delay("seconds", seconds),
            _Which(times, client_id, connection),
        )

    def disconnect(
        self,
        api: str,
        *,
        when: When = "before",
        times: int | None = None,
        client_id: str | None = None,
        connection: int | None = None,
    ) -> faults.Fault:
        """The connection is closed instead of an answer: "before" the request has done anything, or
        "after" it has.
        """
        return self._add(api, _choose(_DISCONNECTS, when), 0, _Which(times, client_id, connection))

    def _add(self, api: str, effect: RequestEffect, value: int, which: _Which) -> faults.Fault:
        self.disk.check_open()
        _check_api(api)
        count = faults.check_times(which.times)
        client_id, connection = which.client_id, which.connection
        if client_id is not None:
            check_text("client_id", client_id, "a str or None")
        if connection is not None and not 0 < check_integer("connection", connection) < 1 << 16:
            raise ValueError(f"connection={connection} is no port of a client")
        key = _KEYS[api]
        core = self._core
        fault = core.add_request_fault(key, effect, value, client_id, connection, count)
        return faults.Fault(
            partial(core.count_request_fault, fault), partial(core.remove_request_fault, fault)
        )


class DiskFaults:
    """`barnabas.testing.faults`, of the files below a broker's log directories: patterns are
    relative to each of them, and calls count together. The directories are there.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        quotes = str.maketrans({char: f"\\{char}" for char in "*?[\\"})
        # Faults go by a file's real name, whatever the broker was told.
        names = [os.path.realpath(directory) for directory in directories]
        self._prefixes = [f"{name.translate(quotes)}/" for name in names]
        self._changing = threading.Lock()
        self._made: list[faults.Fault] = []
        self._is_closing = False

    def fail(self, call: faults.Call, pattern: str = "*", **options: int) -> faults.Fault:
        """See `barnabas.testing.faults.fail`."""
        return self._keep(faults.fail, call, self._below(pattern), **options)

    def short(
        self,
        call: faults.ShortCall,
        pattern: str = "*",
        *,
        size: int,
        **options: int,
    ) -> faults.Fault:
        """See `barnabas.testing.faults.short`."""
        return self._keep(faults.short, call, self._below(pattern), size=size, **options)

    def tear(self, pattern: str = "*", *, size: int, **options: int) -> faults.Fault:
        """See `barnabas.testing.faults.tear`."""
        return self._keep(faults.tear, self._below(pattern), size=size, **options)

    def delay(
        self, call: faults.Call, pattern: str = "*", *, seconds: float, **options: int
    ) -> faults.Fault:
        """See `barnabas.testing.faults.delay`."""
        return self._keep(faults.delay, call, self._below(pattern), seconds=seconds, **options)

    def hold(self, call: faults.Call, pattern: str = "*", **options: int) -> faults.Fault:
        """See `barnabas.testing.faults.hold`."""
        return self._keep(faults.hold, call, self._below(pattern), **options)

    def kill(
        self, call: faults.Call, pattern: str = "*", *, is_done: bool, nth: int = 1
    ) -> faults.Fault:
        """See `barnabas.testing.faults.kill`: it is the process of the broker, and of the test."""
        return self._keep(faults.kill, call, self._below(pattern), is_done=is_done, nth=nth)

    def check_open(self) -> None:
        """Raises BrokerClosed once the broker has begun to close."""
        if self._is_closing:
            raise BrokerClosed("the broker is closed")

    def end_waits(self) -> None:
        """The broker begins to close: it is not held up by what holds or delays a call."""
        with self._changing:
            self._is_closing = True
            for fault in self._made:
                if fault.waits:
                    fault.remove()

    def end_all(self) -> None:
        """The broker is closed."""
        for fault in self._made:
            fault.remove()

    def _keep(
        self, make: Callable[P, faults.Fault], *args: P.args, **options: P.kwargs
    ) -> faults.Fault:
        with self._changing:
            self.check_open()
            fault = make(*args, **options)
            self._made = [*(each for each in self._made if each.in_force), fault]
            return fault

    def _below(self, pattern: str) -> list[str]:
        check_text("pattern", pattern)
        below = pattern.removeprefix("*/")  # as of files anywhere
        return [prefix + below for prefix in self._prefixes]


def _check_api(api: str) -> None:
    check_text("api", api, "the name of an API, such as 'Produce'")
    if api in _KEYS:
        return
    calls = close_names(api, faults.CALLS)
    if calls and not close_names(api, _KEYS):
        raise ValueError(f"there is no API {api!r}: {calls[0]} is a call of the disk (faults.disk)")
    raise ValueError(f"there is no API {api!r}: {meant(api, _KEYS)}")


def _error_code(error: str | ErrorCode | None) -> ErrorCode:
    if not isinstance(error, str | ErrorCode):
        raise wrong_type("error", error, "one of Kafka's errors, such as 'NOT_LEADER_OR_FOLLOWER'")
    names = {code.name.upper(): code for code in ErrorCode if code is not ErrorCode.none}
    found = names.get(error.name.upper() if isinstance(error, ErrorCode) else error)
    if found is None and error in errno.errorcode.values():
        raise ValueError(f"there is no error {error!r} of Kafka's: it is of the disk (faults.disk)")
    if found is None:
        name = error.name if isinstance(error, ErrorCode) else error
        raise ValueError(f"there is no error {name!r}: {meant(name, names)}")
    return found


def _choose(effects: dict[str, RequestEffect], when: str) -> RequestEffect:
    if when not in effects:
        raise ValueError(f'when={when!r} is neither "before" nor "after"')
    return effects[when]
