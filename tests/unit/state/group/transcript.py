"""Runs scripted transcripts of one group, "g".

    TIME [EVENT] [=> REPLY; REPLY; ...]

TIME is virtual, in milliseconds; timers due by then fire first. All replies since the line before
must be the ones given, in any order. Lines that start with # are comments. Events:

    A join [v0|v9] [instance=I] [session=MS] [rebalance=MS] [protocols=P:META,...] [type=T] [id=ID]
    A sync [B=ASSIGNMENT ...] [generation=N] [protocol=P]
    A heartbeat [generation=N]            A commit T/P=OFFSET... [generation=N] [retention=MS]
    A leave [instance=I]                  [metadata=M] [producer=ID]
    producer ID commits | aborts          its marker
    admin delete | delete-offsets T/P... | delete-topic T | expire
    storage fails with ERROR | works | hangs | resumes
    broker restarts
    group? [offsets?]                     replies with what the group looks like

A client joins with the member id it was last given (`id=` overrides it), and member ids are made
of its name and a count: a-1, a-2. With `v9` (the default) a client first is told its member id.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from barnabas.state.effects import Marker, Producer
from barnabas.state.group.commit import CommitRequest, OffsetToCommit
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.join import JoinRequest
from barnabas.state.group.liveness import Leaver
from barnabas.state.group.member import Protocol
from barnabas.state.group.responses import (
    CommitResponse,
    DeleteOffsetsResponse,
    JoinResponse,
    LeaveResponse,
    SyncResponse,
)
from barnabas.state.group.sync import SyncRequest
from unit.state.group.world import World
from unit.state.script import Script

GROUP = "g"


@dataclass
class Client:
    name: str
    member_id: str = ""
    instance: str | None = None
    generation: int = -1


@dataclass
class Call:
    """A request of a client: the token of its reply."""

    client: Client
    verb: str


@dataclass
class Transcript(Script):
    config: GroupConfig = field(default_factory=GroupConfig)

    def __post_init__(self) -> None:
        self.world = World(self.config)
        self.clients: dict[str, Client] = {}
        self.ids_given: dict[str, int] = {}
        self.notes: list[str] = []

    # -- events

    def _advance_to(self, time_ms: int) -> None:
        self.world.advance_to(time_ms)

    def _handle(self, words: list[str]) -> None:
        actor, *arguments = words
        if actor == "admin":
            self._administer(arguments)
        elif actor == "storage":
            self._control_storage(arguments)
        elif actor == "broker":
            self.world.restart()
        elif actor == "producer":
            producer_id, verb = arguments
            assert verb in ("commits", "aborts"), verb
            marker = Marker(Producer(int(producer_id), 0), verb == "commits", 0)
            call = Call(self.clients.setdefault("marker", Client("marker")), "end")
            self.world.perform(self.world.shard.end_transaction(marker, call))
        elif actor.endswith("?"):
            self.notes.extend(self._look(word) for word in words)
        else:
            client = self.clients.setdefault(actor, Client(actor))
            verb, *rest = arguments
            options = dict(word.split("=", 1) for word in rest if "=" in word)
            flags = {word for word in rest if "=" not in word}
            handlers: dict[str, Callable[[Client, dict[str, str], set[str]], None]] = {
                "join": self._join,
                "sync": self._sync,
                "heartbeat": self._heartbeat,
                "leave": self._leave,
                "commit": self._commit,
            }
            handlers[verb](client, options, flags)

    def _join(self, client: Client, options: dict[str, str], flags: set[str]) -> None:
        client.instance = options.get("instance", client.instance)
        protocols = options.get("protocols", "range:meta").split(",")
        prefix = client.instance or client.name
        next_id = self.ids_given.get(prefix, 0) + 1
        request = JoinRequest(
            group_id=options.get("group", GROUP),
            member_id=options.get("id", client.member_id),
            group_instance_id=client.instance,
            client_id=client.name,
            client_host="/127.0.0.1",
            session_timeout_ms=int(options.get("session", "10000")),
            rebalance_timeout_ms=int(options.get("rebalance", "60000")),
            protocol_type=options.get("type", "test"),
            protocols=tuple(
                Protocol(name, metadata.encode())
                for name, _, metadata in (protocol.partition(":") for protocol in protocols)
            ),
            requires_known_member_id="v0" not in flags,
            supports_skip_assignment=not flags & {"v0", "v8"},
        )
        call = Call(client, "join")
        self.world.perform(self.world.shard.join(request, call, self.world.instant, str(next_id)))
        group = self.world.shard.groups.get(GROUP)
        given = f"{prefix}-{next_id}"
        if group is not None and (given in group.members or given in group.pending_members):
            self.ids_given[prefix] = next_id

    def _sync(self, client: Client, options: dict[str, str], flags: set[str]) -> None:
        generation = int(options.pop("generation", client.generation))
        protocol = options.pop("protocol", None)
        request = SyncRequest(
            group_id=GROUP,
            generation_id=generation,
            member_id=client.member_id,
            group_instance_id=client.instance,
            protocol_type=None,
            protocol_name=protocol,
            assignments={
                self.clients[name].member_id if name in self.clients else name: value.encode()
                for name, value in options.items()
            },
        )
        call = Call(client, "sync")
        self.world.perform(self.world.shard.sync(request, call, self.world.instant))

    def _heartbeat(self, client: Client, options: dict[str, str], flags: set[str]) -> None:
        error = self.world.shard.heartbeat(
            GROUP,
            client.member_id,
            client.instance,
            int(options.get("generation", client.generation)),
            self.world.now_ms,
        )
        self.notes.append(f"{client.name} {_outcome(error)}")

    def _leave(self, client: Client, options: dict[str, str], flags: set[str]) -> None:
        instance = options.get("instance")
        leaver = Leaver("", instance) if instance else Leaver(client.member_id, client.instance)
        call = Call(client, "leave")
        self.world.perform(self.world.shard.leave(GROUP, (leaver,), call, self.world.instant))

    def _commit(self, client: Client, options: dict[str, str], flags: set[str]) -> None:
        generation = int(options.pop("generation", client.generation))
        retention = int(options.pop("retention", "-1"))
        metadata = options.pop("metadata", "")
        producer_id = options.pop("producer", None)
        offsets = []
        for name, offset in options.items():
            topic, partition = name.split("/")
            offsets.append(OffsetToCommit(topic, int(partition), int(offset), -1, metadata))
        request = CommitRequest(
            group_id=GROUP,
            generation_id=generation,
            member_id=client.member_id,
            group_instance_id=client.instance,
            retention_ms=retention,
            knows_group_id_not_found="v8" not in flags,
            offsets=offsets,
            producer=None if producer_id is None else Producer(int(producer_id), 0),
        )
        call = Call(client, "commit")
        self.world.perform(self.world.shard.commit(request, call, self.world.instant))

    def _administer(self, arguments: list[str]) -> None:
        verb, *rest = arguments
        call = Call(self.clients.setdefault("admin", Client("admin")), verb)
        shard, instant = self.world.shard, self.world.instant
        if verb == "delete":
            self.world.perform(shard.delete_group(GROUP, call, instant))
        elif verb == "delete-offsets":
            keys = [(topic, int(partition)) for topic, partition in (w.split("/") for w in rest)]
            self.world.perform(shard.delete_offsets(GROUP, keys, call))
        elif verb == "delete-topic":
            self.world.perform(shard.delete_topics({rest[0]}))
        else:
            assert verb == "expire"
            self.world.perform(shard.expire(instant))

    def _control_storage(self, arguments: list[str]) -> None:
        match arguments:
            case ["fails", "with", error]:
                self.world.storage_error = ErrorCode[error]
            case ["works"]:
                self.world.storage_error = ErrorCode.none
            case ["hangs"]:
                self.world.is_storage_held = True
            case ["resumes"]:
                self.world.release_storage()
            case _:
                raise AssertionError(f"storage cannot {' '.join(arguments)}")

    def _look(self, word: str) -> str:
        if word == "offsets?":
            committed = self.world.shard.committed(GROUP)
            shown = [
                f"{topic}/{partition}={value.offset}"
                for topic, partitions in committed.items()
                for partition, value in partitions.items()
            ]
            shown += [
                f"{topic}/{partition} unstable"
                for topic in "tu"
                for partition in range(4)
                if self.world.shard.is_unstable(GROUP, topic, partition)
            ]
            return " ".join(["offsets", *sorted(shown)])
        group = self.world.shard.groups.get(GROUP)
        if group is None:
            return "no group"
        members = ",".join(sorted(group.members))
        return f"{group.state.value} {group.generation_id} members={members}"

    # -- replies

    def _take(self) -> list[str]:
        told = self.notes + [self._describe(call, reply) for call, reply in self.world.replies]
        self.world.replies.clear()
        self.notes = []
        return told

    def _describe(self, call: object, reply: object) -> str:
        assert isinstance(call, Call)
        client = call.client
        match reply:
            case JoinResponse():
                if reply.member_id:
                    client.member_id = reply.member_id
                return f"{client.name} {self._describe_join(client, reply)}"
            case SyncResponse(error=ErrorCode.none):
                return f"{client.name} synced {reply.assignment.decode()}".rstrip()
            case LeaveResponse(error=ErrorCode.none):
                return f"{client.name} {_outcome(reply.members[0].error)}"
            case CommitResponse(error=ErrorCode.none) | DeleteOffsetsResponse(error=ErrorCode.none):
                rejected = reply.rejected or {}
                details = [f"{t}/{p}:{error.name}" for (t, p), error in rejected.items()]
                return " ".join([client.name, "ok", *details])
            case ErrorCode():
                return f"{client.name} {_outcome(reply)}"
        error = getattr(reply, "error", None)
        assert isinstance(error, ErrorCode)
        return f"{client.name} {call.verb}: {error.name}"

    def _describe_join(self, client: Client, reply: JoinResponse) -> str:
        if reply.error is ErrorCode.member_id_required:
            return f"is {reply.member_id}"
        if reply.error is not ErrorCode.none:
            return f"join: {reply.error.name}"
        client.generation = reply.generation_id
        role = "leads" if reply.members else "joined"
        words = [role, str(reply.generation_id), str(reply.protocol_name)]
        if reply.members:
            words.append(",".join(sorted(member.member_id for member in reply.members)))
        else:
            words.append(f"leader={reply.leader_id}")
        if reply.skip_assignment:
            words.append("skip")
        return " ".join(words)


def _outcome(error: ErrorCode) -> str:
    return "ok" if error is ErrorCode.none else error.name
