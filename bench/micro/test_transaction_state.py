"""The transaction state machine, with what the broker encodes for its log; time stands still."""

from kio.schema.errors import ErrorCode
from pytest_benchmark.fixture import BenchmarkFixture

from barnabas.state.effects import Producer
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.records import EPOCH_BUMP
from barnabas.state.txn.requests import AddRequest, EndRequest, InitRequest, ProducerResponse
from unit.state.txn.world import World

ID = "x"
PARTITIONS = frozenset(TopicPartition("t", number) for number in range(4))


class Transactions:
    """One producer that begins and commits."""

    def __init__(self) -> None:
        self._world = World()
        self.ended = 0
        self.begin_anew()

    def begin_anew(self) -> None:
        world = self._world
        request = InitRequest(transactional_id=ID, timeout_ms=60_000)
        producer_id = world.new_id(ID, is_init=True)
        world.perform(world.shard.init(request, "init", world.now_ms, producer_id))
        self._producer = self._taken()

    def _taken(self) -> Producer:
        ((_, reply),) = self._world.replies
        self._world.replies.clear()
        self._world.log.clear()
        self._world.written.clear()
        assert isinstance(reply, ProducerResponse)
        assert reply.error is ErrorCode.none
        return reply.producer

    def commit(self) -> None:
        world = self._world
        add = AddRequest(
            transactional_id=ID,
            producer=self._producer,
            partitions=PARTITIONS,
            client_transaction_version=EPOCH_BUMP,
        )
        world.perform(world.shard.add_partitions(add, "add", world.now_ms))
        ((_, error),) = world.replies
        assert error is ErrorCode.none
        world.replies.clear()
        end = EndRequest(
            transactional_id=ID,
            producer=self._producer,
            is_commit=True,
            client_transaction_version=EPOCH_BUMP,
        )
        world.perform(world.shard.end(end, "end", world.now_ms, world.new_id(ID)))
        self._producer = self._taken()
        self.ended += 1


def test_transaction_over_four_partitions(benchmark: BenchmarkFixture) -> None:
    transactions = Transactions()
    benchmark(transactions.commit)
    assert transactions.ended > 0
