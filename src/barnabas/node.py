"""One broker: puts the parts together, starts them in order, stops them in order.

Start: lock and identify the directories, open the store, take the directory over from Kafka where
that is asked for, make the directories that are new and tell which are missing, finish deletions,
make directories and store agree, load the logs, listen (nobody is accepted yet), load groups and
transactions, serve. Clients are served only when all topics are there: a broker that calls a topic
unknown because it has not looked yet loses data. Stop: the loop first, then the core, which closes
the logs, then the store.
"""

import asyncio
import base64
import errno
import logging
import os
import uuid
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from barnabas._core import Core, CoreError, DirectoryIdentity, RecoveryReport
from barnabas.adopt.adoption import Owner, adopt, check_may_open, stored_adoption
from barnabas.broker import BrokerLoop
from barnabas.clock import VirtualClock
from barnabas.config.broker_config import Source
from barnabas.config.listeners import EVERY_INTERFACE, Address, check_is_free
from barnabas.config.start import StartConfig
from barnabas.coordinator.group_coordinator import GroupCoordinator
from barnabas.coordinator.hand_over import HandOver
from barnabas.coordinator.settings import group_config, transaction_config
from barnabas.coordinator.txn_coordinator import TransactionCoordinator
from barnabas.directories import make_directory, remove_empty
from barnabas.directory_watch import DirectoryWatch
from barnabas.disk_calls import DiskCalls
from barnabas.errors import ConfigError, StartError
from barnabas.forking import ForkDirectories
from barnabas.handlers.services import Services
from barnabas.metadata.catalog import BrokerIdentity, Catalog
from barnabas.metadata.config_service import ConfigService
from barnabas.metadata.internal_topic import AnyTopic, InternalTopic
from barnabas.metadata.known_directories import KnownDirectories
from barnabas.metadata.producer_ids import ProducerIds
from barnabas.metadata.reconciliation import reconcile
from barnabas.metadata.records import (
    BROKER_CONFIGS_PREFIX,
    CLUSTER_DEFAULT,
    CLUSTER_PATH,
    TOPICS_PREFIX,
    AdoptedRecord,
    TopicRecord,
    decode_config,
)
from barnabas.metadata.sqlite import FILE_NAME, SqliteStore
from barnabas.metadata.store import MetadataStore, Put, StoreError
from barnabas.metadata.topic_service import TopicService
from barnabas.state.internal_topics import CONSUMER_OFFSETS, TRANSACTION_STATE
from barnabas.wording import counted, reason

logger = logging.getLogger(__name__)

START_ROOM_BYTES: Final = 256 << 10  # what a start writes, the store's log and index for the most
STOP_GRACE_MS: Final = 2_000
BLOCKING_THREADS: Final = 4  # to read logs back, make forks, and do what a clock's jump makes due


class Node:
    """A broker on the running loop. `start`, then `stop`, once each."""

    def __init__(self, start: StartConfig, clock: VirtualClock | None = None) -> None:
        self._start_config = start
        self._config = start.config
        native_clock = None if clock is None else clock.native
        self._core = Core(start.config.core_settings(), native_clock)
        self._executor = ThreadPoolExecutor(BLOCKING_THREADS, thread_name_prefix="blocking")
        self._disk_calls = DiskCalls()
        self._made: list[Path] = []  # directories that were not there
        self._store: MetadataStore | None = None
        self._loop: BrokerLoop | None = None
        self._groups: GroupCoordinator | None = None
        self._transactions: TransactionCoordinator | None = None
        self._adopted: AdoptedRecord | None = None  # how, when Kafka has made the directory
        self.identity: BrokerIdentity
        self.services: Services
        self.topics: TopicService
        self.catalog = Catalog()
        self.directories: list[DirectoryIdentity]  # the metadata is in the first
        self.watch = DirectoryWatch(self._core, self.catalog)
        self.address: Address  # where it listens

    @property
    def directory(self) -> DirectoryIdentity:
        """The log directory with the metadata."""
        return self.directories[0]

    @property
    def data_dirs(self) -> Sequence[Path]:
        """The log directories; the metadata is in the first."""
        return self._start_config.data_dirs

    @property
    def listen_host(self) -> str:
        """Where it listens, as configured."""
        return self._start_config.listen.host

    @property
    def advertised_address(self) -> str:
        """HOST:PORT, as clients are told."""
        return str(Address(self.identity.host, self.identity.port))

    async def start(self) -> None:
        """Serves clients at return. Raises StartError with one line for the user."""
        try:
            await self._start()
        except BaseException as error:
            with suppress(CoreError):  # what stopped the start is what counts
                await self.stop()
            remove_empty(self._made)
            if isinstance(error, CoreError | OSError | StoreError | ValueError):
                raise StartError(reason(error)) from error
            raise

    async def _start(self) -> None:
        data_dir = self._start_config.data_dir
        for key in self._start_config.unused_keys:
            logger.warning("%s has no effect: Barnabas does not use it", key)
        asyncio.get_running_loop().set_default_executor(self._executor)
        check_may_open(data_dir, self._start_config.adopt)
        check_is_free(self._start_config.listen)
        self._open_directories()
        store = self._open_store(data_dir / FILE_NAME)
        self._check_cluster_id(store)
        self._make_directories(store)
        self._read_store(store)
        reconcile(self._core, store, self.catalog, is_adopted=self._adopted is not None)
        self._report(self._load_partitions())
        self.watch.start()
        host, port = self._start_config.listen
        self.address = Address(host or EVERY_INTERFACE, self._core.listen(host, port))
        self._make_services(store)
        assert self._groups is not None
        assert self._transactions is not None
        await self._groups.start()
        await self._transactions.start()
        self._core.start()
        assert self._loop is not None
        self._loop.start()

    async def run_due(self) -> None:
        """Does what is due by the calendar, after a jump of it."""
        await asyncio.to_thread(self._core.run_due)
        self.services.groups.run_due()
        self.services.transactions.run_due()

    async def fork(self, directories: ForkDirectories) -> None:
        """Puts what there is at this moment into empty directories, one for each log directory, in
        their order; durably, unless they are temporary. Raises StartError, and leaves there what
        there is.
        """
        await asyncio.to_thread(self._fork, directories)

    def _fork(self, directories: ForkDirectories) -> None:
        store = self._store
        assert isinstance(store, SqliteStore)
        if self._is_kept_for_kafka:
            raise StartError(f"{self._start_config.data_dir} is Apache Kafka's: it is not forked")
        paths = [os.path.abspath(path) for path in directories.paths]
        is_durable = not directories.are_temporary
        copy = directories.paths[0] / FILE_NAME
        try:
            with directories.being_filled():
                # No topic comes or goes between the two.
                store.copy_to(copy, lambda: self._core.fork(paths, is_durable))
        except (CoreError, StoreError) as error:
            raise StartError(str(error)) from error

    async def stop(self, *, close_logs: bool = True) -> None:
        """Stops serving and closes the logs, or leaves them to be removed. Raises CoreError when a
        log could not be closed.
        """
        self.watch.stop()
        if self._loop is not None:
            await self._loop.stop()
            self._loop = None
            await self.topics.stop()
        if self._transactions is not None:
            await self._transactions.stop()
            self._transactions = None
        if self._groups is not None:
            await self._groups.stop()
            self._groups = None
        # What the executor has begun is finished while the core still runs.
        self._executor.shutdown(cancel_futures=True)
        self._disk_calls.shutdown()
        try:
            # On the loop's thread: it has nothing left to do, and at the exit of the interpreter
            # an executor would not take the call any more.
            self._core.stop(STOP_GRACE_MS, close_logs)
        finally:
            if self._store is not None:
                self._store.close()
                self._store = None

    # -- starting, step by step

    def _open_directories(self) -> None:
        data_dir = self._start_config.data_dir
        try:
            self._made = make_directory(data_dir)
        except OSError as error:
            why = error.strerror
            if isinstance(error, FileExistsError | NotADirectoryError):
                places = (data_dir, *data_dir.parents)
                why = f"{next(place for place in places if place.exists())} is a file"
            raise StartError(f"cannot make the data directory {data_dir}: {why}") from error
        self._check_room(data_dir)
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        node_id = self._config.integer("node.id")
        # Absolute, as Kafka's tools name them.
        paths = [os.path.abspath(path) for path in self._start_config.data_dirs]
        self.directories = self._core.open_directories(paths, cluster_id, node_id)

    def _make_directories(self, store: MetadataStore) -> None:
        """Makes those that are new, but nothing in the place of one that is missing."""
        known = KnownDirectories(store, self.directories)
        known.forget(self._start_config.forgotten_dirs)
        missing = known.missing()
        taken = {path for path, _ in missing}
        for directory in self.directories:
            if directory.is_new and directory.path not in taken:
                with suppress(OSError):  # the core tells what is offline then
                    self._made = make_directory(Path(directory.path)) + self._made
        self.directories = self._core.make_directories(missing)
        for directory in self.directories:
            if directory.error:
                logger.error("%s: what is in it is offline", directory.error)
        known.learn(self.directories)

    def _open_store(self, path: Path) -> MetadataStore:
        """The store of the directory, which is adopted first if that was asked for.

        Partitions without the store that knows them are somebody else's, or it was lost: a new one
        would set them all aside.
        """
        if path.exists():
            self._store = SqliteStore(path)
        owner = Owner(
            data_dir=self._start_config.data_dir,
            cluster_id=self.directory.cluster_id,
            node_id=self.directory.node_id,
            directory_id=self.directory.directory_id,
            config=self._config,
            metadata_dir=self._start_config.kafka_metadata_dir,
        )

        def list_partitions() -> list[tuple[str, int]]:
            return [place[:2] for place in self._core.list_partition_directories()]

        changes = adopt(self._store, owner, self._start_config.adopt, list_partitions)
        if self._store is None:
            self._store = SqliteStore(path)
        if changes:
            self._store.commit(changes)
        self._adopted = stored_adoption(self._store)
        if self._adopted is not None and len(self.directories) > 1:
            raise StartError(
                f"{self._start_config.data_dir} was adopted from Apache Kafka, and is served "
                "alone: --data-dir says which directory"
            )
        return self._store

    def _check_room(self, data_dir: Path) -> None:
        """Before anything is changed: a start that a full disk ends must not cost a clean stop."""
        disk = os.statvfs(data_dir)
        free_blocks = disk.f_bavail if os.geteuid() else disk.f_bfree
        if free_blocks * disk.f_frsize < START_ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(data_dir))

    def _check_cluster_id(self, store: MetadataStore) -> None:
        """The store and the directory belong together, or one of them has been exchanged."""
        cluster_id = self.directory.cluster_id
        entry = store.get(CLUSTER_PATH)
        if entry is None:
            store.commit([Put(CLUSTER_PATH, cluster_id.encode())])
        elif entry.value.decode() != cluster_id:
            raise StartError(
                f"{self._start_config.data_dir} has cluster id {cluster_id}, but its {FILE_NAME} "
                f"is of cluster {entry.value.decode()}"
            )

    def _read_store(self, store: MetadataStore) -> None:
        for path, entry in store.list(TOPICS_PREFIX).items():
            self.catalog.put(TopicRecord.decode(path.removeprefix(TOPICS_PREFIX), entry.value))
        configs: dict[str, Mapping[str, str]] = {}
        for path, entry in store.list(BROKER_CONFIGS_PREFIX).items():
            configs[path.removeprefix(BROKER_CONFIGS_PREFIX)] = decode_config(entry.value)
        self.catalog.broker_configs = configs
        layers = (
            (Source.DYNAMIC_DEFAULT_BROKER, CLUSTER_DEFAULT),
            (Source.DYNAMIC_BROKER, str(self._config.integer("node.id"))),
        )
        for source, name in layers:
            try:
                self._config.set_dynamic(source, configs.get(name, {}))
            except (ConfigError, KeyError) as error:
                raise StartError(f"stored configuration of broker {name}: {error}") from error
        self._core.set_broker_config(self._config.core_settings())

    def _load_partitions(self) -> list[RecoveryReport]:
        partitions = [
            (topic.name, topic.topic_id, p.partition, p.leader_epoch)
            for topic in self.catalog
            for p in topic.partitions
            if p.replicas
        ]
        configs = {t.name: self._config.core_topic_config(t.config) for t in self.catalog}
        return self._core.load_partitions(partitions, configs)

    def _report(self, reports: list[RecoveryReport]) -> None:
        """Says what the recovery of logs has found."""
        checked_bytes = 0
        for report in reports:
            name = f"{report.topic}-{report.partition}"
            checked_bytes += report.bytes_checked
            if report.error:
                logger.error("%s is offline: %s", name, report.error)
            if report.bytes_set_aside:
                logger.error(
                    "%s is corrupt (%s): cut at offset %d, %d bytes kept in %s",
                    name,
                    report.reason,
                    report.log_end_offset,
                    report.bytes_set_aside,
                    report.set_aside_path,
                )
            elif report.bytes_cut:
                logger.warning(
                    "%s had a torn tail (%s): cut at offset %d, %d bytes",
                    name,
                    report.reason,
                    report.log_end_offset,
                    report.bytes_cut,
                )
        if not all(each.was_clean or each.error for each in self.directories) and reports:
            logger.info(
                "the last stop was not clean: %s checked, %s",
                counted(sum(report.checked for report in reports), "log"),
                counted(checked_bytes, "byte"),
            )

    def _make_services(self, store: MetadataStore) -> None:
        advertised = self._start_config.advertised
        rack = self._config.get("broker.rack")
        self.identity = BrokerIdentity(
            node_id=self._config.integer("node.id"),
            cluster_id=self.directory.cluster_id,
            host=advertised.host,
            port=advertised.port or self.address.port,
            rack=None if rack is None else str(rack),
        )
        self.topics = TopicService(
            core=self._core,
            disk_calls=self._disk_calls,
            store=store,
            catalog=self.catalog,
            config=self._config,
            on_deleted=self._on_topics_deleted,
            is_kept_for_kafka=self._is_kept_for_kafka,
        )
        hand_over = HandOver(self._core, asyncio.get_running_loop())
        self._groups = GroupCoordinator(
            core=self._core,
            hand_over=hand_over,
            config=group_config(self._config.core_settings()),
            offsets_topic=InternalTopic(
                CONSUMER_OFFSETS, self.topics, self.catalog, self._elsewhere()
            ),
        )
        producer_ids = ProducerIds(store, self._disk_calls)
        self._transactions = TransactionCoordinator(
            core=self._core,
            hand_over=hand_over,
            config=transaction_config(self._config.core_settings()),
            topic=InternalTopic(
                TRANSACTION_STATE,
                self.topics,
                self.catalog,
                self._elsewhere(),
                is_kept_for_kafka=self._is_kept_for_kafka,
            ),
            producer_ids=producer_ids,
            groups=self._groups,
        )
        self.services = Services(
            core=self._core,
            disk_calls=self._disk_calls,
            identity=self.identity,
            catalog=self.catalog,
            producer_ids=producer_ids,
            config=self._config,
            topics=self.topics,
            configs=ConfigService(
                store=store,
                catalog=self.catalog,
                config=self._config,
                topics=self.topics,
                disk_calls=self._disk_calls,
            ),
            groups=self._groups,
            transactions=self._transactions,
        )
        self._loop = BrokerLoop(self._core, self.services)

    @property
    def _is_kept_for_kafka(self) -> bool:
        return self._adopted is not None and not self._adopted.for_good

    def _elsewhere(self) -> Container[str]:
        """Topics that exist, though not here: what groups have committed for them is kept."""
        if self._adopted is None:
            return ()
        if self._adopted.metadata_dir is None:
            return AnyTopic()
        return frozenset(self._adopted.other_topics)

    def _on_topics_deleted(self, topics: Iterable[str]) -> None:
        if self._groups is not None:
            self._groups.on_topics_deleted(topics)
        if self._transactions is not None:
            self._transactions.on_topics_deleted(topics)
