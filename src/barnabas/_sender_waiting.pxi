# The part of `_sender` that waits for batches, of threads and of tasks.

# How long a thread waits before it looks whether Python has a signal for it.
cdef int64_t SIGNAL_INTERVAL_NS = 50_000_000
cdef int64_t NS_PER_S = 1_000_000_000


def _slices(timeout):
    """How long to wait, in ns, again and again, until `timeout` seconds (None: never) are over."""
    check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic_ns() + int(timeout * NS_PER_S)
    while True:
        if deadline is None:
            yield SIGNAL_INTERVAL_NS
        else:
            left = deadline - time.monotonic_ns()
            if left <= 0:
                return
            yield min(left, SIGNAL_INTERVAL_NS)
        PyErr_CheckSignals()


cdef bint _wait(Outcome* outcome, timeout) except -1:
    """Whether it is done after at most `timeout` seconds (None: for ever)."""
    cdef int64_t part
    cdef cbool done
    if outcome.done():
        return True
    for part in _slices(timeout):
        with nogil:
            done = outcome.wait(part)
        if done:
            return True
    return False


def _wake(loop, future, settle, _=None):
    """Has the task that awaits `future` go on, from any thread; its loop may have ended."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle, future)


def _resolve(future):
    if not future.done():  # cancelled
        future.set_result(None)


cdef class Unfinished:
    """Batches that are in the log, and not yet as durable as their topics want them."""

    cdef vector[shared_ptr[Outcome]] _outcomes
    cdef ProcessMark _made_in

    def done(self):
        """Whether all are."""
        cdef size_t i
        for i in range(self._outcomes.size()):
            if not self._outcomes[i].get().done():
                return False
        return True

    def wait(self, timeout):
        """Waits for all, `timeout` seconds at most (None: for ever). Raises TimeoutError, and
        KafkaError when one cannot be made durable; BrokerClosed in a forked child, where none will.
        """
        cdef size_t i
        cdef Outcome* outcome
        if not self.done() and not self._made_in.is_here():
            raise BrokerClosed("they are of the process that this one was forked from")
        error = None
        deadline = None if timeout is None else time.monotonic() + timeout
        for i in range(self._outcomes.size()):
            outcome = self._outcomes[i].get()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not _wait(outcome, left):
                raise TimeoutError(f"not all was done after {timeout} s")
            if error is None and outcome.error() != ErrorCode.kNone:
                error = kafka_error(outcome.error(), outcome.message())
        if error is not None:
            raise error

    def __await__(self):
        cdef size_t i
        loop = asyncio.get_running_loop()
        for i in range(self._outcomes.size()):
            if not self._outcomes[i].get().done():
                future = loop.create_future()
                wake = partial(_wake, loop, future, _resolve)
                self._outcomes[i].get().when_done(python_call(wake))
                yield from future
        self.wait(0)


cdef Unfinished _unfinished(const vector[shared_ptr[Outcome]]& outcomes):
    cdef Unfinished made = Unfinished()
    made._outcomes = outcomes
    return made
