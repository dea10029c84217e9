"""The brokers of this process that are open, and what becomes of them at its end.

Imports no broker; `_sender`, which native threads call Python from, and faults are asked for only
if they are in use.
"""

import atexit
import functools
import logging
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from barnabas.closing import Closing

logger = logging.getLogger(__name__)

_brokers: "WeakSet[Closing]" = WeakSet()


def add_open(broker: "Closing") -> None:
    """Until `discard_open`: it is closed at the end of the process."""
    _close_at_exit()
    _brokers.add(broker)


def discard_open(broker: "Closing") -> None:
    """It is closed."""
    _brokers.discard(broker)


def sender() -> Any:
    """The module that native threads call Python from, None if it is not in use."""
    return sys.modules.get("barnabas._sender")


def is_in_callback() -> bool:
    """Whether this is the callback of a delivery."""
    module = sender()
    return module is not None and bool(module.is_telling())


@functools.cache
def _close_at_exit() -> None:
    """Before the core, which has registered what it does at the exit, calls Python no more."""
    atexit.register(_close_all)


def _close_all() -> None:
    """Whoever forgets to close a broker gets its logs closed and its directory removed even so.
    Then callbacks of deliveries have been called, and native threads call Python no more.
    """
    if (faults := sys.modules.get("barnabas.testing.faults")) is not None:
        faults.end_waits()
    for broker in list(_brokers):
        try:
            broker.close()
        except Exception:  # the others are to be closed, too
            logger.exception("%r could not be closed", broker)
    if (module := sender()) is not None:
        module.close_gate()
