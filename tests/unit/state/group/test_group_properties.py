"""Invariants of a group under any sequence of events, with a log that fails and lags."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kio.schema.errors import ErrorCode

from barnabas.state.group.commit import CommitRequest, OffsetToCommit
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.group import Group, GroupState
from barnabas.state.group.join import JoinRequest
from barnabas.state.group.liveness import Leaver
from barnabas.state.group.member import Protocol
from barnabas.state.group.responses import CommitResponse, JoinResponse, SyncResponse
from barnabas.state.group.sync import SyncRequest
from unit.state.group.world import World

GROUP = "g"
PARTITIONS = [b"P0", b"P1", b"P2"]
CLIENTS = st.integers(0, 4)
# Answers that promise that nothing has changed.
REFUSALS = {
    ErrorCode.coordinator_not_available,
    ErrorCode.fenced_instance_id,
    ErrorCode.group_id_not_found,
    ErrorCode.illegal_generation,
    ErrorCode.inconsistent_group_protocol,
    ErrorCode.unknown_member_id,
}


@dataclass
class Client:
    instance: str | None
    member_id: str = ""
    generation: int = -1
    members: tuple[str, ...] = ()  # not empty: it leads and has to assign


@dataclass(frozen=True)
class Call:
    number: int
    client: Client
    verb: str
    generation: int = -1
    offset: int = -1


class GroupMachine(RuleBasedStateMachine):
    """Clients 0 to 2 are dynamic, 3 and 4 are two processes with the same instance id."""

    @initialize(delay=st.sampled_from([0, 3000]), max_size=st.sampled_from([2, 100]))
    def start(self, delay: int, max_size: int) -> None:
        self.world = World(GroupConfig(initial_rebalance_delay_ms=delay, max_size=max_size))
        self.clients = [Client(None if index < 3 else "i") for index in range(5)]
        self.unanswered: set[int] = set()
        self.calls = 0
        self.ids = 0
        self.taken: dict[tuple[int, bytes], str] = {}  # (generation, partition) -> member
        self.sent_offsets: list[Call] = []
        self.acknowledged_offset = -1

    # -- helpers

    @property
    def group(self) -> Group | None:
        return self.world.shard.groups.get(GROUP)

    def call(self, client: Client, verb: str, offset: int = -1) -> Call:
        self.calls += 1
        self.unanswered.add(self.calls)
        return Call(self.calls, client, verb, client.generation, offset)

    def settle(self, token: Call | None = None, before: object = None) -> None:
        """Takes the replies; a request refused at once must have changed nothing."""
        replies, self.world.replies = self.world.replies, []
        for answered, reply in replies:
            assert isinstance(answered, Call)
            assert answered.number in self.unanswered, "answered twice"
            self.unanswered.remove(answered.number)
            error = reply if isinstance(reply, ErrorCode) else getattr(reply, "error", None)
            if answered is token and len(replies) == 1 and error in REFUSALS:
                assert snapshot(self.group) == before
            self.take(answered, reply)

    def take(self, call: Call, reply: object) -> None:
        client = call.client
        if isinstance(reply, JoinResponse):
            if reply.error is ErrorCode.unknown_member_id:
                client.member_id = ""
            elif reply.error is ErrorCode.member_id_required:
                client.member_id = reply.member_id
            elif reply.error is ErrorCode.none:
                client.member_id = reply.member_id
                client.generation = reply.generation_id
                client.members = tuple(member.member_id for member in reply.members)
        elif isinstance(reply, SyncResponse) and reply.error is ErrorCode.none:
            for partition in reply.assignment.split():
                owner = self.taken.setdefault((call.generation, partition), client.member_id)
                is_successor = client.instance is not None and owner.startswith("i-")
                assert owner == client.member_id or is_successor, "two owners"
        elif isinstance(reply, CommitResponse) and reply.error is ErrorCode.none:
            self.acknowledged_offset = max(self.acknowledged_offset, call.offset)

    # -- events

    @rule(
        index=CLIENTS,
        names=st.sampled_from(["range", "range rr", "rr range", "rr"]),
        metadata=st.sampled_from([b"", b"x"]),
        is_old=st.booleans(),
        is_restarted=st.booleans(),
    )
    def join_one(
        self, index: int, names: str, metadata: bytes, is_old: bool, is_restarted: bool
    ) -> None:
        if is_restarted:
            self.clients[index].member_id = ""
        self.join(index, names, metadata, is_old)

    def join(self, index: int, names: str, metadata: bytes, is_old: bool) -> None:
        client = self.clients[index]
        self.ids += 1
        request = JoinRequest(
            group_id=GROUP,
            member_id=client.member_id,
            group_instance_id=client.instance,
            client_id=f"c{index}",
            client_host="/127.0.0.1",
            session_timeout_ms=6000 + 1000 * index,
            rebalance_timeout_ms=10_000,
            protocol_type="test",
            protocols=tuple(Protocol(name, metadata) for name in names.split()),
            requires_known_member_id=not is_old,
            supports_skip_assignment=not is_old,
        )
        call, before = self.call(client, "join"), snapshot(self.group)
        now = self.world.instant
        self.world.perform(self.world.shard.join(request, call, now, str(self.ids)))
        self.settle(call, before)

    @rule(index=CLIENTS, keep=st.integers(0, 3))
    def sync_one(self, index: int, keep: int) -> None:
        self.sync(index, keep)

    @rule(keep=st.integers(1, 3))
    def behave_well(self, keep: int) -> None:
        """Everybody joins and, when that is over, takes an assignment."""
        for index in (*range(4), *range(4)):
            client = self.clients[index]
            group = self.group
            member = None if group is None else group.members.get(client.member_id)
            if member is None or member.awaiting_join is None:
                self.join(index, "range rr", b"", is_old=False)
        self.let_time_pass(11_000)
        for index in range(4):
            self.sync(index, keep)

    def sync(self, index: int, keep: int) -> None:
        client = self.clients[index]
        shares: dict[str, bytes] = dict.fromkeys(client.members[:keep], b"")
        for number, partition in enumerate(PARTITIONS):
            if shares:
                member = list(shares)[number % len(shares)]
                shares[member] = b" ".join(filter(None, [shares[member], partition]))
        request = SyncRequest(
            group_id=GROUP,
            generation_id=client.generation,
            member_id=client.member_id,
            group_instance_id=client.instance,
            protocol_type=None,
            protocol_name=None,
            assignments=shares,
        )
        call, before = self.call(client, "sync"), snapshot(self.group)
        self.world.perform(self.world.shard.sync(request, call, self.world.instant))
        self.settle(call, before)

    @rule(index=CLIENTS)
    def heartbeat(self, index: int) -> None:
        client, before = self.clients[index], snapshot(self.group)
        error = self.world.shard.heartbeat(
            GROUP, client.member_id, client.instance, client.generation, self.world.now_ms
        )
        if error in REFUSALS:
            assert snapshot(self.group) == before

    @rule(index=CLIENTS)
    def leave(self, index: int) -> None:
        client = self.clients[index]
        leaver = Leaver(client.member_id, client.instance)
        call = self.call(client, "leave")
        self.world.perform(self.world.shard.leave(GROUP, (leaver,), call, self.world.instant))
        self.settle()

    @rule(index=CLIENTS, is_simple=st.booleans())
    def commit(self, index: int, is_simple: bool) -> None:
        client = self.clients[index]
        call = self.call(client, "commit", offset=self.calls)
        before = snapshot(self.group)
        request = CommitRequest(
            group_id=GROUP,
            generation_id=-1 if is_simple else client.generation,
            member_id="" if is_simple else client.member_id,
            group_instance_id=None if is_simple else client.instance,
            retention_ms=-1,
            knows_group_id_not_found=True,
            offsets=[OffsetToCommit("t", 0, call.offset, -1, "")],
        )
        self.world.perform(self.world.shard.commit(request, call, self.world.instant))
        self.settle(call, before)

    @rule()
    def delete(self) -> None:
        call, before = self.call(Client(None), "delete"), snapshot(self.group)
        self.world.perform(self.world.shard.delete_group(GROUP, call, self.world.instant))
        self.settle(call, before)
        if self.group is None:
            self.acknowledged_offset = -1

    @rule(elapsed_ms=st.sampled_from([1, 1000, 4000, 11_000]))
    def let_time_pass(self, elapsed_ms: int) -> None:
        self.world.advance_to(self.world.now_ms + elapsed_ms)
        self.settle()

    @rule(error=st.sampled_from([ErrorCode.none, ErrorCode.none, ErrorCode.not_coordinator]))
    def change_storage(self, error: ErrorCode) -> None:
        self.world.storage_error = error

    @rule()
    def hang_storage(self) -> None:
        self.world.is_storage_held = True

    @precondition(lambda self: self.world.is_storage_held)
    @rule()
    def resume_storage(self) -> None:
        self.world.release_storage()
        self.settle()
        if self.group is None:
            self.acknowledged_offset = -1

    @precondition(lambda self: not self.world.has_held_appends)
    @rule()
    def restart_broker(self) -> None:
        self.unanswered.clear()
        self.world.restart()
        self.settle()

    # -- invariants

    @invariant()
    def group_is_consistent(self) -> None:
        group = self.group
        if group is None:
            self.taken.clear()  # a group of the same name counts its generations anew
            return
        members = group.members.values()
        parked = sum(member.awaiting_join is not None for member in members)
        assert group.num_awaiting_join == parked
        static = {m.group_instance_id: m.member_id for m in members if m.is_static}
        assert group.static_members == static
        assert group.pending_sync_members <= group.members.keys()
        assert not group.pending_members & group.members.keys()
        assert (group.leader_id in group.members) == bool(group.members)
        if group.state in {GroupState.EMPTY, GroupState.DEAD}:
            assert not group.members
        if group.state in {GroupState.STABLE, GroupState.COMPLETING_REBALANCE}:
            assert group.members
            assert group.protocol_name
            group.select_protocol()
        if group.state is not GroupState.COMPLETING_REBALANCE:
            assert all(member.awaiting_sync is None for member in members)

    @invariant()
    def committed_offset_is_the_last_acknowledged_or_a_later_one(self) -> None:
        if self.world.has_held_appends:
            return
        committed = self.world.shard.committed(GROUP).get("t", {}).get(0)
        offset = -1 if committed is None else committed.offset
        assert offset == self.acknowledged_offset

    def teardown(self) -> None:
        """Every request has been answered once the log works and all timeouts have run out."""
        if not hasattr(self, "world"):
            return
        self.world.storage_error = ErrorCode.none
        self.world.release_storage()
        self.world.advance_to(self.world.now_ms + 3_600_000)
        self.settle()
        assert not self.unanswered
        assert self.group is None or self.group.state is GroupState.EMPTY


def snapshot(group: Group | None) -> object:
    """Everything about a group that an illegal event must not change."""
    if group is None:
        return None
    members = [
        tuple(getattr(member, name) for name in member.__slots__)
        for member in group.members.values()
    ]
    rest = {
        name: value for name, value in vars(group).items() if name not in {"members", "offsets"}
    }
    return repr((members, rest, sorted(group.offsets.all_partitions()), list(group.offsets)))


TestGroup = GroupMachine.TestCase
TestGroup.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
