"""`Broker.on_append()`: a callable, on a thread of its own, sees what is appended to a topic."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kio.schema.errors import ErrorCode

from barnabas.arguments import check_call, check_topic, deadline_after
from barnabas.embedded.consumer import Consumer
from barnabas.embedded.host import ask_core
from barnabas.errors import BrokerClosed, KafkaError
from barnabas.wording import counted

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from barnabas.embedded.batch import ConsumedBatch
    from barnabas.embedded.host import Host

logger = logging.getLogger(__name__)

ASK_AGAIN_S: Final = 0.02
READ_AGAIN_S: Final = 1.0

_TopicPartition = tuple[bytes | None, int]
"""Topic id and partition: a topic that is made again begins anew."""


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """What is asked of a topic that has been deleted meanwhile is not there, and no failure."""
    try:
        yield
    except KafkaError as error:
        if error.code is not ErrorCode.unknown_topic_or_partition:
            raise


class AppendHook:
    """Calls `call` with each batch of records that is appended to a topic from now on: in the order
    of a partition's offsets, each once. New partitions count from their beginning, and so does a
    topic that is made later.

    A call that takes long lets the hook lag behind, and holds up nobody; one that raises is logged
    and counted, and the next batch comes. What is removed before the hook has come to it
    (retention, `delete_records`) is counted in `missed` and logged: it goes on with the first
    record that is there. Where records cannot be read, `failure` says why, and the
    hook tries again every second; other partitions go on meanwhile. `isolation_level`
    read_committed leaves out what is not decided, and what was aborted. Ends with `remove`, the end
    of its `with` block, or its broker.

    Safe to use from several threads.
    """

    def __init__(
        self,
        host: Host,
        topic: str,
        call: Callable[[ConsumedBatch], object],
        *,
        isolation_level: str = "read_uncommitted",
    ) -> None:
        check_call("call", call, "something to be called with a batch")
        check_topic("topic", topic)
        # Earliest: where its offset is gone it goes on with what there is.
        self._consumer = Consumer(
            host, [topic], auto_offset_reset="earliest", isolation_level=isolation_level
        )
        with _gone_is_fine():  # if it is made again it is read from its beginning
            self._consumer.seek_to_end()
        self._is_committed_only = isolation_level == "read_committed"
        self._host = host
        self._topic = topic
        self._call = call
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._failure: Exception | None = None
        self._seen = self._positions()  # up to where the calls have come
        self._calls = 0
        self._errors = 0
        self._thread = threading.Thread(target=self._run, name=f"hook {topic}", daemon=True)
        self._thread.start()

    @property
    def calls(self) -> int:
        """How often it was called."""
        return self._calls

    @property
    def errors(self) -> int:
        """How many of the calls have raised."""
        return self._errors

    @property
    def missed(self) -> int:
        """How many offsets were removed before it has seen them."""
        return self._consumer.missed

    @property
    def failure(self) -> Exception | None:
        """Why it cannot read what was appended, None while it can."""
        return self._failure

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it has seen all that is appended now, with read_committed all of it that is
        decided; False when that takes longer than `timeout` seconds, or the hook has ended. Raises
        `failure` when there is one, RuntimeError in the hook's own call.
        """
        deadline = deadline_after(timeout)
        if self._is_own_thread():
            raise RuntimeError("a hook cannot wait in its own call for what it is yet to see")
        try:
            ends = self._ends()
        except BrokerClosed:
            return False
        with self._changed:
            while any(self._seen.get(partition, 0) < end for partition, end in ends.items()):
                if self._failure is not None:
                    raise self._failure
                if not self._thread.is_alive():
                    return False
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                self._consumer.wake_up()  # there may be nothing but markers of transactions
                self._changed.wait(ASK_AGAIN_S)
        return True

    def remove(self) -> None:
        """Ends it; a call that is under way comes to its end first, unless it is the one that asks.
        May be repeated.
        """
        self.close()
        if not self._is_own_thread():
            self._thread.join()

    def close(self) -> None:
        """Ends it, without waiting for a call that is under way."""
        self._closed.set()
        self._consumer.close()

    def __repr__(self) -> str:
        counts = f"{counted(self._calls, 'call')}, {counted(self._errors, 'error')}"
        state = ", closed" if self._closed.is_set() else ""
        return f"<barnabas.AppendHook of {self._topic}, {counts}{state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    # -- the thread

    def _is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                batch = self._consumer.poll(None if self._failure is None else 0)
            except BrokerClosed:
                break
            except Exception as error:
                self._fail(error)
                continue
            if batch is not None:
                self._show(batch)
            with self._changed:
                self._seen = self._positions()
                if batch is None:  # each partition was asked
                    self._failure = None
                self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        if repr(error) != repr(self._failure):
            logger.error("the hook of %s cannot read, and tries again: %s", self._topic, error)
        with self._changed:
            self._failure = error
            self._changed.notify_all()
        self._closed.wait(READ_AGAIN_S)

    def _show(self, batch: ConsumedBatch) -> None:
        self._calls += 1
        try:
            self._call(batch)
        except BaseException:  # SystemExit, too: it would end this thread, and say nothing
            self._errors += 1
            logger.exception("the hook of %s has raised, at %r", self._topic, batch)

    def _positions(self) -> dict[_TopicPartition, int]:
        return {
            (read.topic_id, read.partition): read.offset
            for read in self._consumer._reads.read_offsets()  # of a closed one, too
        }

    def _ends(self) -> dict[_TopicPartition, int]:
        core = self._host.services.core
        count, topic_id = self._consumer.topic_shape(self._topic)
        ends: dict[_TopicPartition, int] = {}
        for number in range(count):
            with _gone_is_fine():
                info = ask_core(core.partition_info, self._topic, number)
                end = info.last_stable_offset if self._is_committed_only else info.high_watermark
                ends[topic_id, number] = end
        return ends
