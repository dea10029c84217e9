"""`barnabas.Broker`: a broker in this process, in a thread of its own, for any Kafka client.

    with barnabas.Broker() as broker:
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap_servers})

and, without a socket, for producers and consumers in this process:

        broker.producer().send("orders", b"one").result()
        for batch in broker.consumer(["orders"], auto_offset_reset="earliest", timeout=1):
            print(batch.offsets, batch.values)

Its control plane runs on an asyncio loop in one thread; the data plane has native threads. Several
brokers live in one process, each with its own directory. What it refuses is a `BarnabasError`, or
a TypeError for an argument of a wrong type.

After a fork the broker is the parent's. The child has neither its threads nor its files to close:
there `close` does nothing, and all else raises BrokerClosed.
"""

import asyncio
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet

from barnabas import open_brokers
from barnabas.arguments import check_directory, check_integer, check_port, check_text, wrong_type
from barnabas.closing import Closing
from barnabas.directories import make_temporary
from barnabas.errors import BarnabasError, BrokerClosed, KafkaError
from barnabas.forking import DIRECTORY_KEYS, TEMPORARY_PREFIX, embedded_config

if TYPE_CHECKING:
    from barnabas.clock import VirtualClock
    from barnabas.config.start import StartConfig
    from barnabas.embedded.append_hook import AppendHook
    from barnabas.embedded.batch import ConsumedBatch
    from barnabas.embedded.consumer import Consumer
    from barnabas.embedded.producer import Producer
    from barnabas.handlers.services import Services
    from barnabas.node import Node
    from barnabas.testing.broker_faults import BrokerFaults

T = TypeVar("T")
Client = TypeVar("Client", bound="Producer | Consumer | AppendHook")
ConfigValue = str | int | float | bool

logger = logging.getLogger(__name__)


class Broker(Closing):
    """An embedded broker, serving clients from when it is made until `close`.

    `data_dir` None is a temporary directory, removed on close, unless `config` has log.dirs; `port`
    0 picks a free one. `config` has Kafka's broker keys, values as Python's or as texts. `clock` is
    a `barnabas.VirtualClock` that a test moves, None the system's time; with one, connections have
    no time to be idle in, but for a connections.max.idle.ms that is given.

    Raises ConfigError for a key or value that cannot be used, StartError when the broker cannot
    start: its directory cannot be written or is in use, the port is taken; TypeError and ValueError
    for arguments that are none.

    A temporary directory also goes when the program ends without `close`. It stays when a signal
    ends it that Python does not turn into an exception, such as SIGTERM: signals are the program's,
    which may have `signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))`, or give a `data_dir`
    that somebody else removes. A Ctrl-C while it starts, is closed or forked leaves nothing behind.

    Safe to use from several threads.
    """

    def __init__(
        self,
        data_dir: str | Path | None = None,
        port: int = 0,
        config: Mapping[str, ConfigValue] | None = None,
        clock: "VirtualClock | None" = None,
    ) -> None:
        from barnabas.clock import VirtualClock
        from barnabas.config.keys import config_texts

        if clock is not None and not isinstance(clock, VirtualClock):
            raise wrong_type("clock", clock, "a barnabas.VirtualClock or None")
        check_directory("data_dir", data_dir)
        directories = None if data_dir is None else [Path(data_dir)]
        self._begin(directories, check_port(port), config_texts("config", config), clock)

    def _begin(
        self,
        directories: Sequence[Path] | None,
        port: int,
        config: dict[str, str],
        clock: "VirtualClock | None",
        *,
        are_temporary: bool = False,
    ) -> None:
        from barnabas.clock import VirtualLoop

        self._config = config
        self._clock = clock
        self._closing = threading.Lock()  # of the state, and of beginning a call
        self._cutting = threading.Lock()  # of a fork, which needs the broker open
        self._closer: int | None = None  # the thread that closes it
        self._closed = False
        self._ended = threading.Event()
        self._runs = False  # the thread: set by itself, unless it finds the broker closed
        self._starting: asyncio.Future[None] | None = None  # of the loop's thread
        self._pid = os.getpid()
        self._stop_error: Exception | None = None
        self._calls: set[asyncio.Task[Any]] = set()  # of the loop's thread
        self._clients: WeakSet[Producer | Consumer | AppendHook] = WeakSet()
        self._faults: BrokerFaults | None = None
        self._temporary: list[Path] = []
        started: Future[Node] = Future()
        try:
            if are_temporary and directories is not None:
                self._temporary.extend(directories)
            if directories is None and not DIRECTORY_KEYS & config.keys():
                make_temporary(Path(tempfile.gettempdir()), TEMPORARY_PREFIX, self._temporary)
                directories = self._temporary
            start = embedded_config(directories, port, config, is_virtual=clock is not None)
            self._data_dir = start.data_dir
            self._loop = asyncio.new_event_loop() if clock is None else VirtualLoop(clock)
            self._stopping = asyncio.Event()
            self._thread = threading.Thread(
                target=self._run, args=(start, started), name="barnabas", daemon=True
            )
            open_brokers.add_open(self)
            self._thread.start()
            self._node = started.result()
            if clock is not None:
                clock.follow(self)
        except BaseException:
            with suppress(BarnabasError):  # what stopped the start is what counts
                self.close()
            raise

    # -- what clients need

    @property
    def bootstrap_servers(self) -> str:
        """HOST:PORT, for any Kafka client."""
        return self._node.advertised_address

    @property
    def data_dir(self) -> Path:
        """Where the topics live; the first of several directories."""
        return self._data_dir

    @property
    def clock(self) -> "VirtualClock":
        """The clock that it was made with. Raises BarnabasError when that is the system's."""
        if self._clock is None:
            raise BarnabasError("the broker goes by the system's clock")
        return self._clock

    # -- topics

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        config: Mapping[str, ConfigValue] | None = None,
    ) -> None:
        """Makes a topic that is served at return. Raises KafkaError, TypeError."""
        from barnabas.config.keys import config_texts
        from barnabas.metadata.topic_plans import NewTopic

        check_text("name", name, "the name of a topic")
        partitions = check_integer("partitions", partitions)
        texts = config_texts("config", config)
        topic = NewTopic(name=name, partition_count=partitions, config=texts)

        async def create() -> None:
            (result,) = await self._node.topics.create([topic])
            if isinstance(result, KafkaError):
                raise result

        self.call(create)

    def delete_topic(self, name: str) -> None:
        """Deletes a topic and its records. Raises KafkaError, TypeError."""
        check_text("name", name, "the name of a topic")

        async def delete() -> None:
            if error := (await self._node.topics.delete([name]))[name]:
                raise error

        self.call(delete)

    # -- forks

    def fork(
        self,
        data_dir: str | Path | None = None,
        port: int = 0,
        config: Mapping[str, ConfigValue] | None = None,
    ) -> "Broker":
        """Another broker, which begins with everything that this one has now: topics, records,
        settings, what groups have committed, producers and their transactions. From then on each
        goes its own way, and may be closed or forked in turn. Members of groups are not in it, as
        after a restart, nor are clients, hooks and faults.

        All partitions are taken at one moment: producers may be at work. Of records only the newest
        of a partition are copied (up to 1 MiB; if there is more, this broker begins a new segment):
        both have the same files, as hard links, for as long as neither changes them. A directory on
        another file system is filled by copying.

        `data_dir` None is a temporary directory, removed on close; else one that is empty or not
        there yet, and that is on the disk at return. A broker with several log.dirs needs as many:
        `config={"log.dirs": …}`. `config` is on top of this broker's configuration; addresses are
        not taken over: the fork listens on `port` (0: a free one) of the same host. In the place of
        a virtual clock it has one of its own, which begins with the same time.

        Raises BrokerClosed; ConfigError; StartError, with nothing left behind: the directory is not
        empty, lies in this broker's or cannot be written, one of this broker's is offline, the fork
        cannot start.
        """
        from barnabas.clock import VirtualClock
        from barnabas.config.keys import config_texts
        from barnabas.config.listeners import Address
        from barnabas.forking import ForkDirectories, fork_config, wanted_directories

        check_directory("data_dir", data_dir)
        port = check_port(port)
        own = config_texts("config", config)
        wanted = wanted_directories(data_dir, own)
        self._check_open()
        directories = ForkDirectories(self._node.data_dirs, wanted)
        forked = Broker.__new__(Broker)
        try:
            directories.make()
            listen = Address(self._node.listen_host, port)
            settings = fork_config(self._config, own, listen)
            with self._cutting:  # it stays open until the files are there
                self.call(lambda: self._node.fork(directories))
                clock = None if self._clock is None else VirtualClock(self._clock.now())
            forked._begin(
                directories.paths, 0, settings, clock, are_temporary=directories.are_temporary
            )
        except BaseException:
            directories.discard()
            raise
        return forked

    # -- clients without a socket

    def producer(self, **config: Any) -> "Producer":
        """A producer in this process: `barnabas.embedded.producer.Producer` has its configuration.

        Raises ConfigError, KafkaError, TypeError.
        """
        from barnabas.embedded.producer import Producer

        return self._keep(Producer(self, **config))

    def consumer(self, topics: Iterable[str], **config: Any) -> "Consumer":
        """A consumer in this process: `barnabas.embedded.consumer.Consumer` has its configuration.

        Raises ConfigError, TypeError, KafkaError for no topic's name and, without one, ValueError.
        """
        from barnabas.embedded.consumer import Consumer

        return self._keep(Consumer(self, topics, **config))

    def on_append(
        self,
        topic: str,
        call: "Callable[[ConsumedBatch], object]",
        *,
        isolation_level: str = "read_uncommitted",
    ) -> "AppendHook":
        """Has `call` see what is appended to a topic from now on, batch by batch, on a thread of
        its own, until the hook is removed: see `barnabas.embedded.append_hook.AppendHook`.

        Raises ConfigError, TypeError, KafkaError for what can be no topic's name.
        """
        from barnabas.embedded.append_hook import AppendHook

        return self._keep(AppendHook(self, topic, call, isolation_level=isolation_level))

    def _keep(self, client: Client) -> Client:
        """Closes the client when the broker is closed."""
        with self._closing:
            if self._closer is None:
                self._clients.add(client)
                return client
        client.close()
        raise BrokerClosed("the broker is closed")

    @property
    def services(self) -> "Services":
        """The parts of the broker, for clients in this process."""
        self._check_open()
        return self._node.services

    # -- faults

    @property
    def faults(self) -> "BrokerFaults":
        """Makes requests to this broker, or its disk, go wrong: see
        `barnabas.testing.broker_faults`. Raises BrokerClosed.
        """
        from barnabas.testing.broker_faults import BrokerFaults

        core = self.services.core
        with self._closing:
            if self._closer is not None:
                raise BrokerClosed("the broker is closed")
            if self._faults is None:
                self._faults = BrokerFaults(core, self._node.data_dirs)
            return self._faults

    # -- life

    def close(self) -> None:
        """Closes its clients, stops serving and closes the logs; removes a temporary directory. Can
        be repeated: whoever comes second waits for the first, but in the callback of a delivery,
        which the first may wait for.
        """
        if not self._is_ours():
            return
        this_thread = threading.get_ident()
        is_first = False
        try:
            with self._closing:
                if self._closer is None:
                    is_first = True
                    self._closer = this_thread
            if is_first:
                self._end()
        except Exception:
            self._ended.set()
            raise
        except BaseException:
            if is_first:
                self._end_elsewhere()
            raise
        if not is_first:
            if self._closer != this_thread and not open_brokers.is_in_callback():
                self._ended.wait()
        elif self._stop_error is not None:
            raise BarnabasError(f"not stopped cleanly: {self._stop_error}") from self._stop_error

    def _end_elsewhere(self) -> None:
        """What a Ctrl-C has cut short goes on without the thread that it has come to."""

        def end() -> None:
            self._closer = threading.get_ident()
            try:
                self._end()
            except Exception:
                logger.exception("a broker could not be closed")
            finally:
                self._ended.set()

        self._closer = 0
        try:
            threading.Thread(target=end, name="barnabas-close", daemon=True).start()
        except RuntimeError:  # the interpreter is ending
            self._ended.set()
            self._shut()

    def _end(self) -> None:
        """Calls go on while clients are closed: these have some to make, and so may callbacks. May
        be begun anew where an interrupt has ended it.
        """
        if self._faults is not None:
            self._faults.disk.end_waits()
        clients = list(self._clients)
        for client in clients:
            try:
                client.close()
            except Exception:  # of a listener of the user's; the logs are to be closed
                logger.exception("%r could not be closed", client)
        with self._cutting:
            self._shut()
        if self._runs:
            self._thread.join()
        sender = open_brokers.sender()
        for client in clients:
            if sender is not None and isinstance(client, sender.NativeProducer):
                client._tell()  # what became durable at the very end
        if self._faults is not None:
            self._faults.disk.end_all()
        for path in self._temporary:
            shutil.rmtree(path, ignore_errors=True)
        open_brokers.discard_open(self)
        self._ended.set()

    def _shut(self) -> None:
        """Takes no more calls, and asks the thread to come to its end."""
        with self._closing:
            self._closed = True
            if self._clock is not None:
                self._clock.unfollow(self)
            if self._runs:
                with suppress(RuntimeError):  # it has come to it
                    self._loop.call_soon_threadsafe(self._stop_soon)

    def __enter__(self) -> Self:
        if self._closer is not None:
            raise BrokerClosed("the broker is closed")
        return self

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"<barnabas.Broker at {self.bootstrap_servers}, {self._data_dir}{state}>"

    # -- the thread

    def _run(self, start: "StartConfig", started: "Future[Node]") -> None:
        """The thread: starts a node, and stops it when asked to."""
        with self._closing:
            if self._closed:
                return  # a Ctrl-C was quicker
            self._runs = True
        try:
            self._loop.run_until_complete(self._serve(start, started))
        except Exception as error:
            self._stop_error = error
        finally:
            self._loop.close()

    async def _serve(self, start: "StartConfig", started: "Future[Node]") -> None:
        from barnabas.node import Node

        try:
            node = Node(start, self._clock)
            self._starting = asyncio.ensure_future(node.start())
            await self._starting
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(node)
        await self._stopping.wait()
        # Whoever waits for a call that the end has overtaken shall not wait for ever.
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)
        await node.stop(close_logs=not self._temporary)

    def _stop_soon(self) -> None:
        """On the loop. A start comes to its end at once, or where it next waits."""
        self._stopping.set()
        if self._starting is not None:
            self._starting.cancel()

    def call(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine on the broker's loop and waits for it. Raises BrokerClosed."""
        future = self.begin(make)
        try:
            return future.result()
        except CancelledError:
            raise BrokerClosed("the broker was closed meanwhile") from None

    def begin(self, make: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Begins to run a coroutine on the broker's loop. Raises BrokerClosed."""
        self._check_ours()  # there the lock may be held for ever
        with self._closing:
            self._check_open()
            return asyncio.run_coroutine_threadsafe(self._tracked(make()), self._loop)

    async def run_due(self) -> None:
        """For a virtual clock that has moved: does what is due by the calendar. On the loop."""
        await self._node.run_due()

    def _check_ours(self) -> None:
        if not self._is_ours():
            raise BrokerClosed("the broker runs in the process that this one was forked from")

    def _check_open(self) -> None:
        self._check_ours()
        if self._closed:
            raise BrokerClosed("the broker is closed")

    async def _tracked(self, call: Coroutine[Any, Any, T]) -> T:
        """Runs on the loop: a call that `close` can cancel."""
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            return await call
        except RuntimeError as error:
            if threading.main_thread().is_alive():
                raise
            raise BrokerClosed("the program is at its end: this is not begun any more") from error
        finally:
            self._calls.discard(task)

    def _is_ours(self) -> bool:
        """Whether this process made it, and did not get a copy in a fork."""
        return os.getpid() == self._pid
