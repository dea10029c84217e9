"""The group state machine by itself: every append succeeds at once, and time stands still."""

from kio.schema.errors import ErrorCode
from pytest_benchmark.fixture import BenchmarkFixture

from barnabas.state.effects import Token
from barnabas.state.group.commit import DEFAULT_RETENTION, CommitRequest, OffsetToCommit
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import Effects, Instant, SetTimer, TimerKey, TimerKind
from barnabas.state.group.join import JoinRequest
from barnabas.state.group.member import Protocol
from barnabas.state.group.responses import CommitResponse, JoinResponse, SyncResponse
from barnabas.state.group.shard import GroupShard
from barnabas.state.group.sync import SyncRequest

MEMBERS = 50
PARTITIONS = 20
NOW = Instant(1000, 1_700_000_000_000)
PROTOCOLS = (Protocol("range", b"subscription of about thirty B"),)


class StableGroup:
    """A group "g" of many members, all of which have their assignment."""

    def __init__(self) -> None:
        self.shard = GroupShard(GroupConfig(initial_rebalance_delay_ms=0))
        self._replies: dict[Token, object] = {}
        self._join_timer: TimerKey | None = None
        first = self._join([""] * MEMBERS)
        self.members = [response.member_id for response in first]
        self.generation_id = 0
        self.rebalance()

    def perform(self, effects: Effects) -> None:
        self._replies |= dict(effects.replies)
        for timer in effects.timers:
            if timer.key.kind is TimerKind.JOIN:
                self._join_timer = timer.key if isinstance(timer, SetTimer) else None
        for append in effects.appends:
            self.perform(self.shard.appended(append.outcome, NOW))

    def take_reply(self, token: Token) -> object:
        return self._replies.pop(token)

    def _join(self, member_ids: list[str]) -> list[JoinResponse]:
        for number, member_id in enumerate(member_ids):
            request = JoinRequest(
                group_id="g",
                member_id=member_id,
                group_instance_id=None,
                client_id="bench",
                client_host="/127.0.0.1",
                session_timeout_ms=30_000,
                rebalance_timeout_ms=60_000,
                protocol_type="consumer",
                protocols=PROTOCOLS,
                requires_known_member_id=False,
                supports_skip_assignment=True,
            )
            self.perform(self.shard.join(request, ("join", number), NOW, str(number)))
        while self._join_timer is not None:  # nobody else is waited for
            self.perform(self.shard.on_timer(self._join_timer, NOW))
        answers = [self.take_reply(("join", number)) for number in range(len(member_ids))]
        return [answer for answer in answers if isinstance(answer, JoinResponse)]

    def rebalance(self) -> int:
        """Every member joins anew, and gets its share; returns how many did."""
        joined = self._join(self.members)
        leader = next(answer for answer in joined if answer.members)
        self.generation_id = leader.generation_id
        shares = {member.member_id: b"share" for member in leader.members}
        for answer in joined:
            request = SyncRequest(
                group_id="g",
                generation_id=answer.generation_id,
                member_id=answer.member_id,
                group_instance_id=None,
                protocol_type="consumer",
                protocol_name="range",
                assignments=shares if answer is leader else {},
            )
            self.perform(self.shard.sync(request, ("sync", answer.member_id), NOW))
        synced = [self.take_reply(("sync", member_id)) for member_id in self.members]
        return sum(isinstance(a, SyncResponse) and a.assignment == b"share" for a in synced)


def test_heartbeat(benchmark: BenchmarkFixture) -> None:
    group = StableGroup()
    beat = group.shard.heartbeat
    error = benchmark(beat, "g", group.members[0], None, group.generation_id, NOW.monotonic_ms)
    assert error is ErrorCode.none


def test_rebalance_of_fifty_members(benchmark: BenchmarkFixture) -> None:
    assert benchmark(StableGroup().rebalance) == MEMBERS


def test_commit_of_twenty_partitions(benchmark: BenchmarkFixture) -> None:
    group = StableGroup()
    request = CommitRequest(
        group_id="g",
        generation_id=group.generation_id,
        member_id=group.members[0],
        group_instance_id=None,
        retention_ms=DEFAULT_RETENTION,
        knows_group_id_not_found=True,
        offsets=[OffsetToCommit("t", number, 5, 0, "") for number in range(PARTITIONS)],
    )

    def commit() -> object:
        group.perform(group.shard.commit(request, "commit", NOW))
        return group.take_reply("commit")

    assert benchmark(commit) == CommitResponse()
