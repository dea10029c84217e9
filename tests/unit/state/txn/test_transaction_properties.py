"""Invariants of a transactional id under any sequence of events, with a log that fails and lags."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kio.schema.errors import ErrorCode

from barnabas.state.effects import Producer
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.config import TransactionConfig
from barnabas.state.txn.records import CLASSIC, EPOCH_BUMP, TransactionState
from barnabas.state.txn.requests import (
    NO_PRODUCER,
    AddRequest,
    EndRequest,
    InitRequest,
    ProducerResponse,
)
from unit.state.txn.world import World

ID = "x"
TIMEOUT_MS = 1000
PREPARED = (TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT)
PARTITIONS = [TopicPartition("t", number) for number in range(3)]
CLIENTS = st.integers(0, 2)


@dataclass
class Client:
    """A producer as it sees itself: what it has added since the last end it knows of."""

    producer: Producer = NO_PRODUCER
    added: set[TopicPartition] = field(default_factory=set)


@dataclass(frozen=True)
class Call:
    number: int
    client: Client
    verb: str
    producer: Producer
    partitions: frozenset[TopicPartition] = frozenset()
    is_commit: bool = False
    version: int = EPOCH_BUMP


class TransactionMachine(RuleBasedStateMachine):
    """Three processes with one transactional id."""

    @initialize(first_epoch=st.sampled_from([0, 32_764]))
    def start(self, first_epoch: int) -> None:
        self.world = World(TransactionConfig(id_expiration_ms=10**9))
        self.clients = [Client() for _ in range(3)]
        self.unanswered: set[int] = set()
        self.calls = 0
        self.newest = NO_PRODUCER  # that any client was told
        self.ended: list[Call] = []  # acknowledged, with what was added before
        self.init(0)
        self.first_epoch = first_epoch
        if first_epoch:  # as if it had been used for long
            transaction = self.world.shard.transactions[ID]
            transaction.value = transaction.value._replace(producer_epoch=first_epoch)
            self.init(0)

    # -- helpers

    def call(self, client: Client, verb: str, **rest: object) -> Call:
        self.calls += 1
        self.unanswered.add(self.calls)
        # `rest` names fields of Call, each with a type of its own.
        return Call(self.calls, client, verb, client.producer, **rest)  # type: ignore[arg-type]

    def settle(self) -> None:
        replies, self.world.replies = self.world.replies, []
        for call, reply in replies:
            assert isinstance(call, Call)
            assert call.number in self.unanswered, "answered twice"
            self.unanswered.remove(call.number)
            self.take(call, reply)

    def take(self, call: Call, reply: object) -> None:
        client = call.client
        if call.verb == "add":
            if reply is ErrorCode.none and client.producer == call.producer:
                client.added |= call.partitions
            return
        assert isinstance(reply, ProducerResponse)
        if reply.error is not ErrorCode.none:
            return
        if call.verb == "init":
            assert reply.producer > self.newest, "an epoch was handed out twice"
        else:
            assert reply.producer >= call.producer
            self.ended.append(call)
        self.newest = max(self.newest, reply.producer)
        if client.producer == call.producer:
            client.producer = reply.producer
            client.added = set()

    # -- events

    @rule(index=CLIENTS)
    def init(self, index: int) -> None:
        call = self.call(self.clients[index], "init")
        request = InitRequest(transactional_id=ID, timeout_ms=TIMEOUT_MS)
        world = self.world
        world.perform(world.shard.init(request, call, world.now_ms, world.new_id(ID, is_init=True)))
        self.settle()

    @rule(index=CLIENTS, partitions=st.frozensets(st.sampled_from(PARTITIONS), min_size=1))
    def add(self, index: int, partitions: frozenset[TopicPartition]) -> None:
        client = self.clients[index]
        call = self.call(client, "add", partitions=partitions)
        request = AddRequest(
            transactional_id=ID,
            producer=client.producer,
            partitions=partitions,
            client_transaction_version=EPOCH_BUMP,
        )
        self.world.perform(self.world.shard.add_partitions(request, call, self.world.now_ms))
        self.settle()

    @rule(index=CLIENTS, is_commit=st.booleans(), version=st.sampled_from([CLASSIC, EPOCH_BUMP]))
    def end(self, index: int, is_commit: bool, version: int) -> None:
        client = self.clients[index]
        if client.producer == NO_PRODUCER:
            return
        call = self.call(
            client,
            "end",
            partitions=frozenset(client.added),
            is_commit=is_commit,
            version=version,
        )
        request = EndRequest(
            transactional_id=ID,
            producer=client.producer,
            is_commit=is_commit,
            client_transaction_version=version,
        )
        world = self.world
        world.perform(world.shard.end(request, call, world.now_ms, world.new_id(ID)))
        self.settle()

    @rule(ms=st.sampled_from([1, TIMEOUT_MS + 1]))
    def wait(self, ms: int) -> None:
        self.world.now_ms += ms
        self.world.tick()
        self.settle()

    @rule(fails=st.booleans())
    def storage_fails(self, fails: bool) -> None:
        failure = ErrorCode.coordinator_not_available
        self.world.storage_error = failure if fails else ErrorCode.none

    @rule(holds=st.booleans())
    def hold_storage(self, holds: bool) -> None:
        if holds:
            self.world.is_storage_held = True
        else:
            self.world.release_storage()
        self.settle()

    @rule(holds=st.booleans())
    def hold_markers(self, holds: bool) -> None:
        if holds:
            self.world.are_markers_held = True
        else:
            self.world.release_markers()
        self.settle()

    @rule()
    def restart(self) -> None:
        if self.first_epoch == 0:  # the log knows nothing of the epochs that were made up
            self.world.restart()
            self.unanswered.clear()
            self.settle()

    # -- what always holds

    @invariant()
    def one_end_per_epoch(self) -> None:
        """What a producer wrote in an epoch is either committed or aborted, in all partitions."""
        if not hasattr(self, "world"):
            return
        classic = {call.producer for call in self.ended if call.version == CLASSIC}
        ends: dict[Producer, bool] = {}
        for _, producer, is_commit in self.world.written:
            if producer not in classic:
                assert ends.setdefault(producer, is_commit) is is_commit

    def teardown(self) -> None:
        """When all obstacles are gone, what was promised is done."""
        if not hasattr(self, "world"):
            return
        self.world.storage_error = ErrorCode.none
        self.world.release_storage()
        self.world.release_markers()
        self.settle()
        transaction = self.world.shard.transactions.get(ID)
        assert transaction is None or transaction.state not in PREPARED
        assert not self.unanswered
        for call in self.ended:
            epoch = call.producer.producer_epoch + (1 if call.version == EPOCH_BUMP else 0)
            producer = Producer(call.producer.producer_id, epoch)
            for partition in call.partitions:
                assert (partition, producer, call.is_commit) in self.world.written


TestTransaction = TransactionMachine.TestCase
TestTransaction.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
