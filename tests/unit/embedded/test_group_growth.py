"""A group whose topic grows: who leads it shares the new partitions out, and nobody else stirs."""

import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

import barnabas
from barnabas.embedded.consumer import Consumer

HEARTBEATS_S = 0.5  # time for several


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker(config={"group.min.session.timeout.ms": 100}) as broker:
        broker.create_topic("t", partitions=4)
        yield broker


def member(broker: barnabas.Broker, **config: Any) -> Consumer:
    return broker.consumer(["t"], **{"group": "g", "auto_offset_reset": "earliest", **config})


def grow(broker: barnabas.Broker, count: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    for future in admin.create_partitions([NewPartitions("t", count)]).values():
        future.result(20)


def poll_until(condition: Callable[[], bool], *consumers: Consumer) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        for consumer in consumers:
            consumer.poll(0.02)


def poll_for(seconds: float, *consumers: Consumer) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for consumer in consumers:
            consumer.poll(0.02)


def share_all(count: int, *consumers: Consumer) -> Callable[[], bool]:
    """Whether each has some of so many partitions, and all are taken."""

    def is_shared() -> bool:
        shares = [consumer.assignment() for consumer in consumers]
        return all(shares) and sorted(chain(*shares)) == [("t", n) for n in range(count)]

    return is_shared


def test_a_growing_topic_is_shared_out_anew(broker: barnabas.Broker) -> None:
    first, second = member(broker), member(broker)
    poll_until(share_all(4, first, second), first, second)
    grow(broker, 6)
    poll_until(share_all(6, first, second), first, second)


def test_who_led_once_leaves_a_growing_topic_to_who_leads_now(broker: barnabas.Broker) -> None:
    assigned: list[object] = []
    first = member(broker, max_poll_interval_ms=300, on_assigned=assigned.append)
    poll_until(share_all(4, first), first)
    second = member(broker)
    poll_until(share_all(4, first, second), first, second)
    poll_until(share_all(4, second), second)  # the first one asks for nothing, and is put out
    poll_until(share_all(4, first, second), first, second)
    grow(broker, 6)
    poll_until(share_all(6, first, second), first, second)
    assigned.clear()
    poll_for(HEARTBEATS_S, first, second)
    assert assigned == []


@pytest.mark.parametrize("is_away", [True, False])
def test_a_static_leader_that_is_back_sees_its_topic_grow(
    broker: barnabas.Broker, is_away: bool
) -> None:
    first = member(broker, group_instance_id="static")
    poll_until(share_all(4, first), first)
    generation = first.membership()[1]
    first.close()
    if is_away:
        grow(broker, 6)
    back = member(broker, group_instance_id="static")
    if not is_away:
        poll_until(share_all(4, back), back)
        assert back.membership()[1] == generation  # nobody was asked to join again
        grow(broker, 6)
    poll_until(share_all(6, back), back)


def test_a_static_leader_that_is_back_lets_its_group_be(broker: barnabas.Broker) -> None:
    first, second = member(broker, group_instance_id="static"), member(broker)
    poll_until(share_all(4, first), first)
    poll_until(share_all(4, first, second), first, second)
    generation = second.membership()[1]
    first.close()
    back = member(broker, group_instance_id="static")
    poll_until(share_all(4, back, second), back, second)
    poll_for(HEARTBEATS_S, back, second)
    assert back.membership()[1] == second.membership()[1] == generation


def test_a_static_member_that_asks_for_nothing_stays_until_its_session_ends(
    broker: barnabas.Broker,
) -> None:
    config = {"max_poll_interval_ms": 300, "session_timeout_ms": 3_000}
    stuck = member(broker, group_instance_id="static", **config)
    poll_until(share_all(4, stuck), stuck)
    second = member(broker)
    poll_until(share_all(4, stuck, second), stuck, second)
    poll_for(3 * HEARTBEATS_S, second)
    assert share_all(4, stuck, second)()  # as long as it may come back
    poll_until(share_all(4, second), second)
