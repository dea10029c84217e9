"""Runs scripted transcripts of one transactional id, "x".

    TIME [EVENT] [=> REPLY; REPLY; ...]

TIME is virtual, in milliseconds. All replies and markers since the line before must be the ones
given, in any order. Lines that start with # are comments. Events:

    A init [timeout=MS] [again]         `again`: as the producer that it was (KIP-360)
    A add T/P ... [v1]                  v1: a client of transactions v1, else v2
    A verify T/P ...
    A commit [v1] | abort [v1]          repeat: as the producer of the last commit or abort
    A is ID/EPOCH                       makes it believe that
    coordinator ticks | expires
    storage fails with ERROR | works | hangs | resumes
    markers hang | resume
    broker restarts
    txn?                                replies with what the transaction looks like

A client keeps the producer id and epoch that it is told. A marker reads `T/P commit|abort
ID/EPOCH`.
"""

from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from barnabas.state.effects import Producer
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.config import TransactionConfig
from barnabas.state.txn.records import CLASSIC, EPOCH_BUMP
from barnabas.state.txn.requests import (
    NO_PRODUCER,
    AddRequest,
    EndRequest,
    InitRequest,
    ProducerResponse,
)
from unit.state.script import Script
from unit.state.txn.world import World

ID = "x"


@dataclass
class Client:
    name: str
    producer: Producer = NO_PRODUCER
    before: Producer = NO_PRODUCER


@dataclass
class Call:
    client: Client
    verb: str


@dataclass
class Transcript(Script):
    config: TransactionConfig = field(default_factory=TransactionConfig)

    def __post_init__(self) -> None:
        self.world = World(self.config)
        self.clients: dict[str, Client] = {}
        self.notes: list[str] = []

    # -- events

    def _advance_to(self, time_ms: int) -> None:
        self.world.now_ms = time_ms

    def _handle(self, words: list[str]) -> None:
        match words:
            case ["coordinator", "ticks"]:
                self.world.tick()
            case ["coordinator", "expires"]:
                self.world.perform(self.world.shard.expire(self.world.now_ms))
            case ["storage", "fails", "with", error]:
                self.world.storage_error = ErrorCode[error]
            case ["storage", "works"]:
                self.world.storage_error = ErrorCode.none
            case ["storage", "hangs"]:
                self.world.is_storage_held = True
            case ["storage", "resumes"]:
                self.world.release_storage()
            case ["markers", "hang"]:
                self.world.are_markers_held = True
            case ["markers", "resume"]:
                self.world.release_markers()
            case ["broker", "restarts"]:
                self.world.restart()
            case ["txn?"]:
                self.notes.append(self._look())
            case [name, verb, *rest]:
                self._ask(self.clients.setdefault(name, Client(name)), verb, rest)

    def _ask(self, client: Client, verb: str, rest: list[str]) -> None:
        world, shard, now_ms = self.world, self.world.shard, self.world.now_ms
        call = Call(client, verb)
        version = CLASSIC if "v1" in rest else EPOCH_BUMP
        if verb == "is":
            producer_id, epoch = rest[0].split("/")
            client.producer = Producer(int(producer_id), int(epoch))
        elif verb == "init":
            options = dict(word.split("=") for word in rest if "=" in word)
            init = InitRequest(
                transactional_id=ID,
                timeout_ms=int(options.get("timeout", "60000")),
                producer=client.producer if "again" in rest else None,
            )
            world.perform(shard.init(init, call, now_ms, world.new_id(ID, is_init=True)))
        elif verb in ("add", "verify"):
            add = AddRequest(
                transactional_id=ID,
                producer=client.producer,
                partitions=frozenset(_partition(word) for word in rest if "/" in word),
                client_transaction_version=version,
            )
            if verb == "add":
                world.perform(shard.add_partitions(add, call, now_ms))
            else:
                for (topic, partition), error in shard.verify_partitions(add).items():
                    self.notes.append(f"{topic}/{partition} {_outcome(error)}")
        else:
            assert verb in ("commit", "abort")
            if "repeat" not in rest:
                client.before = client.producer
            end = EndRequest(
                transactional_id=ID,
                producer=client.before,
                is_commit=verb == "commit",
                client_transaction_version=version,
            )
            world.perform(shard.end(end, call, now_ms, world.new_id(ID)))

    def _look(self) -> str:
        described = self.world.shard.describe(ID)
        if described is None:
            return "no transaction"
        value = described.value
        partitions = [f"{topic}/{partition}" for topic, partition in sorted(value.partitions)]
        producer = f"{value.producer_id}/{value.producer_epoch}"
        return " ".join([value.state.value, producer, *partitions])

    # -- replies and markers

    def _take(self) -> list[str]:
        told, self.notes = self.notes, []
        for call, reply in self.world.replies:
            told.append(self._describe(call, reply))
        for (topic, partition), producer, is_commit in self.world.written:
            end = "commit" if is_commit else "abort"
            told.append(
                f"{topic}/{partition} {end} {producer.producer_id}/{producer.producer_epoch}"
            )
        self.world.replies.clear()
        self.world.written.clear()
        return told

    def _describe(self, call: object, reply: object) -> str:
        assert isinstance(call, Call)
        name = call.client.name
        if isinstance(reply, ErrorCode):
            return f"{name} {_outcome(reply)}"
        assert isinstance(reply, ProducerResponse)
        if reply.error is not ErrorCode.none:
            return f"{name} {call.verb}: {reply.error.name}"
        call.client.producer = reply.producer
        return f"{name} is {reply.producer.producer_id}/{reply.producer.producer_epoch}"


def _partition(word: str) -> TopicPartition:
    topic, partition = word.split("/")
    return TopicPartition(topic, int(partition))


def _outcome(error: ErrorCode) -> str:
    return "ok" if error is ErrorCode.none else error.name
