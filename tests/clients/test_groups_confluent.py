"""Consumer groups in trouble, with confluent-kafka: what members, owners and offsets go through."""

import contextlib
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from clients.contract import SESSION_TIMEOUT_MS, create_topic, produce_values
from clients.members.events import EventMember, start_python_member
from peers.processes import wait_until
from peers.servers import Server

TIMEOUT_S = 30.0
PARTITIONS = 6
ALL = frozenset(range(PARTITIONS))


def make_consumer(server: Server, group: str, **more: object) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": group,
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": 100,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **more,
        }
    )


def admin_of(server: Server) -> AdminClient:
    return AdminClient({"bootstrap.servers": server.bootstrap})


def committed(server: Server, group: str, topic: str) -> dict[int, int]:
    """The group's offsets of the topic by partition."""
    request = ConsumerGroupTopicPartitions(group)
    admin = admin_of(server)  # a future is lost with its client
    answer = admin.list_consumer_group_offsets([request])[group].result(30)
    assert not [p for p in answer.topic_partitions if p.error]
    return {p.partition: p.offset for p in answer.topic_partitions if p.topic == topic}


@contextlib.contextmanager
def running_member(
    module: str, server: Server, topic: str, group: str, directory: Path
) -> Iterator[EventMember]:
    member = start_python_member(module, server.bootstrap, topic, group, directory)
    try:
        yield member
    finally:
        if member.child.is_running():
            member.child.kill()


def commit_beginning(server: Server, topic: str, group: str) -> None:
    consumer = make_consumer(server, group)
    consumer.commit(offsets=[TopicPartition(topic, p, 0) for p in ALL], asynchronous=False)
    consumer.close()


class Membership:
    """A consumer on a thread of its own, and which partitions it owns now."""

    def __init__(self, owners: "Owners", server: Server, topic: str, group: str) -> None:
        self.rebalances = 0
        self._owners = owners
        self._stopping = threading.Event()
        self._consumer = make_consumer(server, group)
        self._consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def leave(self) -> None:
        self._stopping.set()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            message = self._consumer.poll(0.02)
            if message is not None and message.error() is None:
                # Refused while the group rebalances; the record is then read again.
                with contextlib.suppress(KafkaException):
                    self._consumer.commit(message=message, asynchronous=False)
        self._consumer.close()

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.rebalances += 1
        self._owners.take(self, {p.partition for p in partitions})

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._owners.release(self)


class Owners:
    """Who owns which partition now; two owners of one are noted as an error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owned: dict[Membership, set[int]] = {}
        self.errors: list[str] = []

    def take(self, member: Membership, partitions: set[int]) -> None:
        with self._lock:
            for other, owned in self._owned.items():
                if other is not member and owned & partitions:
                    self.errors.append(f"{owned & partitions} have two owners")
            self._owned[member] = partitions

    def release(self, member: Membership) -> None:
        with self._lock:
            self._owned.pop(member, None)

    def is_balanced(self, members: list[Membership]) -> bool:
        with self._lock:
            owned = [self._owned.get(member, set()) for member in members]
        return set().union(*owned) == ALL and all(owned)


def test_partitions_have_one_owner_and_offsets_never_regress_in_200_rejoins(
    server: Server,
) -> None:
    topic = create_topic(server.bootstrap, PARTITIONS)
    group = f"g-{topic}"
    # librdkafka that loses a partition while it looks up where it begins may read it all the same.
    commit_beginning(server, topic, group)
    owners = Owners()
    members = [Membership(owners, server, topic, group) for _ in range(3)]
    total = 0
    last: dict[int, int] = {}
    rebalances = 0
    try:
        while sum(member.rebalances for member in members) + rebalances < 200:
            visitor = Membership(owners, server, topic, group)
            produce_values(server.bootstrap, topic, ["v"] * PARTITIONS, PARTITIONS)
            total += 1
            everybody = [*members, visitor]
            wait_until(partial(owners.is_balanced, everybody), TIMEOUT_S, "a share")
            visitor.leave()
            rebalances += visitor.rebalances
            now = committed(server, group, topic)
            assert {p: (last[p], now.get(p)) for p in last if now.get(p, -1) < last[p]} == {}
            last = now
        wait_until(
            lambda: committed(server, group, topic) == dict.fromkeys(ALL, total),
            TIMEOUT_S,
            "everything to be committed",
        )
    finally:
        for member in members:
            member.leave()
    assert not owners.errors


def test_frozen_member_loses_its_partitions_and_cannot_commit_any_more(
    server: Server, tmp_path: Path
) -> None:
    topic = create_topic(server.bootstrap)
    group = f"g-{topic}"
    produce_values(server.bootstrap, topic, ["first", "second"])
    with running_member("slow_committer", server, topic, group, tmp_path / "frozen") as frozen:
        wait_until(lambda: frozen.values() == {"first"}, TIMEOUT_S, "a record to be read")
        os.kill(frozen.child.pid, signal.SIGSTOP)
        with running_member("confluent_member", server, topic, group, tmp_path / "heir") as heir:
            wait_until(lambda: heir.values() == {"first", "second"}, TIMEOUT_S, "an heir")
            wait_until(
                lambda: committed(server, group, topic) == {0: 2}, TIMEOUT_S, "the heir's commit"
            )
            os.kill(frozen.child.pid, signal.SIGUSR1)
            os.kill(frozen.child.pid, signal.SIGCONT)
            wait_until(lambda: frozen.event("commit"), TIMEOUT_S, "the stale commit's outcome")
            assert frozen.event("commit") != "ok"
            assert committed(server, group, topic) == {0: 2}


def test_members_keep_their_partitions_while_the_broker_restarts(
    server: Server, tmp_path: Path
) -> None:
    topic = create_topic(server.bootstrap, PARTITIONS)
    group = f"g-{topic}"
    with (
        running_member("confluent_member", server, topic, group, tmp_path / "0") as first,
        running_member("confluent_member", server, topic, group, tmp_path / "1") as second,
    ):
        both = (first, second)

        def is_balanced() -> bool:
            shares = first.assignment(), second.assignment()
            return all(shares) and shares[0] | shares[1] == ALL and not shares[0] & shares[1]

        wait_until(is_balanced, TIMEOUT_S, "a balanced group")
        before = [member.assignments() for member in both]
        server.kill()
        server.start()
        values = [f"v{number}" for number in range(PARTITIONS)]
        produce_values(server.bootstrap, topic, values, PARTITIONS)
        wait_until(
            lambda: first.values() | second.values() == set(values), TIMEOUT_S, "all to be read"
        )
        if server.start_s < SESSION_TIMEOUT_MS / 2000:  # nobody was given up meanwhile
            assert [member.assignments() for member in both] == before


def poll_until(consumers: list[Consumer], condition: Callable[[], bool], what: str) -> None:
    def poll_all() -> bool:
        for consumer in consumers:
            consumer.poll(0.02)
        return condition()

    wait_until(poll_all, TIMEOUT_S, what, poll_s=0)


def test_static_member_that_restarts_keeps_its_partitions_and_disturbs_nobody(
    server: Server,
) -> None:
    topic = create_topic(server.bootstrap, PARTITIONS)
    group = f"g-{topic}"
    rebalances: list[set[int]] = []

    def assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
        rebalances.append({p.partition for p in partitions})

    other = make_consumer(server, group, **{"group.instance.id": "other"})
    other.subscribe([topic], on_assign=assigned)
    mine: list[set[int]] = []

    def make_mine() -> Consumer:
        consumer = make_consumer(server, group, **{"group.instance.id": "mine"})
        consumer.subscribe([topic], on_assign=lambda _, ps: mine.append({p.partition for p in ps}))
        return consumer

    member = make_mine()
    poll_until(
        [other, member],
        lambda: bool(mine and rebalances) and mine[-1] | rebalances[-1] == ALL,
        "two owners",
    )
    seen = len(rebalances)
    member.close()  # a static member does not leave
    member = make_mine()
    poll_until([other, member], lambda: len(mine) == 2, "the old share")
    assert mine[0] == mine[1]
    assert len(rebalances) == seen
    member.close()
    other.close()


def test_second_process_with_the_same_instance_id_fences_the_first(server: Server) -> None:
    topic = create_topic(server.bootstrap)
    group = f"g-{topic}"
    first = make_consumer(server, group, **{"group.instance.id": "i"})
    first.subscribe([topic])
    poll_until([first], lambda: bool(first.assignment()), "an assignment")
    second = make_consumer(server, group, **{"group.instance.id": "i"})
    second.subscribe([topic])
    poll_until([second], lambda: bool(second.assignment()), "the assignment")

    def is_fenced() -> bool:
        message = first.poll(0.02)
        error = None if message is None else message.error()
        return error is not None and error.name() in {"_FATAL", "FENCED_INSTANCE_ID"}

    wait_until(is_fenced, TIMEOUT_S, "fencing")
    second.close()
    first.close()


def error_name(future: Any) -> str:
    with pytest.raises(KafkaException) as caught:
        future.result(30)
    return str(caught.value.args[0].name())


def test_administrator_sees_resets_and_deletes_a_group(server: Server) -> None:
    topic = create_topic(server.bootstrap, 2)
    group = f"g-{uuid.uuid4().hex}"
    produce_values(server.bootstrap, topic, ["a", "b"], 2)
    admin = admin_of(server)
    consumer = make_consumer(server, group, **{"client.id": "reader"})
    consumer.subscribe([topic])
    poll_until([consumer], lambda: len(consumer.assignment()) == 2, "an assignment")
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)

    described = admin.describe_consumer_groups([group])[group].result(30)
    assert described.state.name == "STABLE"
    (member,) = described.members
    assert (member.client_id, member.host) == ("reader", "/127.0.0.1")
    assert {p.partition for p in member.assignment.topic_partitions} == {0, 1}
    listed = {g.group_id: g.state.name for g in admin.list_consumer_groups().result(30).valid}
    assert listed[group] == "STABLE"

    reset = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])
    refused = admin.alter_consumer_group_offsets([reset])[group].result(30)
    assert [p.error.name() for p in refused.topic_partitions] == ["UNKNOWN_MEMBER_ID"]
    assert error_name(admin.delete_consumer_groups([group])[group]) == "NON_EMPTY_GROUP"
    assert committed(server, group, topic) == {0: 1}

    consumer.close()
    altered = admin.alter_consumer_group_offsets([reset])[group].result(30)
    assert all(p.error is None for p in altered.topic_partitions)
    assert committed(server, group, topic) == {0: 0}
    admin.delete_consumer_groups([group])[group].result(30)
    assert committed(server, group, topic) == {}
    assert error_name(admin.delete_consumer_groups([group])[group]) == "GROUP_ID_NOT_FOUND"


def test_offsets_of_a_deleted_topic_are_gone(server: Server) -> None:
    topic = create_topic(server.bootstrap)
    group = f"g-{topic}"
    consumer = make_consumer(server, group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    assert committed(server, group, topic) == {0: 0}
    admin = admin_of(server)
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: committed(server, group, topic) == {}, TIMEOUT_S, "the offset to go")
    consumer.close()
