# The part of `_sender` that waits for batches, of threads and of tasks.

# How long a thread waits before it looks whether Python has a signal for it.
cdef int64_t SIGNAL_INTERVAL_NS = 50_000_000
cdef int64_t NS_PER_S = 1_000_000_000
# How often a task looks that runs in a callback, and so keeps others from being called.
LOOK_AGAIN_S = 0.001


def _slices(timeout):
    """How long to wait, in ns, again and again, until `timeout` seconds (None: never) are over."""
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


cdef object _until_done(shared_ptr[Outcome] outcome):
    """To be awaited, in a coroutine's `yield from`: until it is done."""
    cdef _Done done = _Done.__new__(_Done)
    done._outcome = outcome
    return done._wait()


cdef class _Done:
    """An outcome, for the coroutine that awaits it."""

    cdef shared_ptr[Outcome] _outcome

    def _wait(self):
        if Teller.is_this_thread():
            while not self._outcome.get().done():
                yield from asyncio.sleep(LOOK_AGAIN_S).__await__()
            return
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._outcome.get().when_done(python_call(partial(_wake, loop, future, _resolve)))
        yield from future


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

    def _check_ours(self):
        """Raises BrokerClosed in a forked child for what it would wait for in vain."""
        if not self.done() and not self._made_in.is_here():
            raise BrokerClosed("they are of the process that this one was forked from")

    def wait(self, timeout):
        """Waits for all, `timeout` seconds at most (None: for ever). Raises TimeoutError, and
        KafkaError when one cannot be made durable; BrokerClosed in a forked child, where none will.
        """
        cdef size_t i
        cdef Outcome* outcome
        self._check_ours()
        error = None
        deadline = deadline_after(timeout)
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
        self._check_ours()
        for i in range(self._outcomes.size()):
            if not self._outcomes[i].get().done():
                yield from _until_done(self._outcomes[i])
        self.wait(0)


cdef Unfinished _unfinished(const vector[shared_ptr[Outcome]]& outcomes):
    cdef Unfinished made = Unfinished()
    made._outcomes = outcomes
    return made
