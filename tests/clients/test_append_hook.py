"""Broker.on_append: a callable in this process sees what clients of the network append."""

import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import barnabas
from barnabas.embedded.batch import ConsumedBatch
from barnabas.errors import KafkaError


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        broker.create_topic("t", partitions=2)
        yield broker


class Seen:
    """Collects what a hook shows, by partition."""

    def __init__(self) -> None:
        self.offsets: dict[int, list[int]] = {}
        self.values: list[bytes | None] = []
        self.threads: set[int] = set()

    def __call__(self, batch: ConsumedBatch) -> None:
        self.offsets.setdefault(batch.partition, []).extend(batch.offsets.tolist())
        self.values.extend(batch.values)
        self.threads.add(threading.get_ident())


def make_producer(broker: barnabas.Broker, **config: str | int) -> Producer:
    return Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0, **config})


def produce(broker: barnabas.Broker, topic: str, values: list[str]) -> None:
    producer = make_producer(broker)
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def test_each_record_is_seen_once_and_in_order(broker: barnabas.Broker) -> None:
    produce(broker, "t", ["before"])
    begins = {n: broker.services.core.partition_info("t", n).high_watermark for n in (0, 1)}
    seen = Seen()
    with broker.on_append("t", seen) as hook:
        values = [str(number) for number in range(2000)]
        for begin in range(0, len(values), 250):
            produce(broker, "t", values[begin : begin + 250])
        assert hook.wait(20)
        assert sorted(map(str, seen.values)) == sorted(str(value.encode()) for value in values)
        for partition, offsets in seen.offsets.items():
            begin = begins[partition]
            assert offsets == list(range(begin, begin + len(offsets)))
        assert threading.get_ident() not in seen.threads
        assert len(seen.threads) == 1
    produce(broker, "t", ["after"])
    assert b"after" not in seen.values
    assert hook.calls > 0


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit])
def test_a_hook_that_raises_is_counted_and_goes_on(
    broker: barnabas.Broker, caplog: pytest.LogCaptureFixture, raised: type[BaseException]
) -> None:
    seen = Seen()

    def refuse_first(batch: ConsumedBatch) -> None:
        seen(batch)
        if len(seen.values) == 1:
            raise raised("no")

    with broker.on_append("t", refuse_first) as hook:
        for value in ("1", "2"):
            produce(broker, "t", [value])
            assert hook.wait(20)
        assert hook.errors == 1
    assert seen.values == [b"1", b"2"]
    assert "the hook of t has raised" in caplog.text


def test_a_slow_hook_lags_behind_and_holds_up_nobody(broker: barnabas.Broker) -> None:
    may_go_on = threading.Event()
    seen = Seen()

    def wait(batch: ConsumedBatch) -> None:
        may_go_on.wait(60)
        seen(batch)

    quick = Seen()
    with broker.on_append("t", wait) as slow, broker.on_append("t", quick) as other:
        produce(broker, "t", [str(number) for number in range(100)])
        assert other.wait(20)
        assert len(quick.values) == 100
        assert not slow.wait(0.1)
        assert seen.values == []
        may_go_on.set()
        assert slow.wait(20)
        assert sorted(map(str, seen.values)) == sorted(map(str, quick.values))


def test_a_hook_sleeps_while_other_topics_are_appended_to(broker: barnabas.Broker) -> None:
    broker.create_topic("other")
    producer = broker.producer()
    with broker.on_append("other", print) as idle, broker.on_append("t", Seen()) as busy:

        def cpu_s(topic: str) -> float:
            (thread,) = (each for each in threading.enumerate() if each.name == f"hook {topic}")
            assert thread.ident is not None
            return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))

        before = {topic: cpu_s(topic) for topic in ("other", "t")}
        for _ in range(2000):
            producer.send("t", b"value", partition=0).result()
        assert busy.wait(20)
        used = {topic: cpu_s(topic) - before[topic] for topic in before}
        assert idle.calls == 0
        assert used["other"] < used["t"] / 10


def test_what_is_removed_while_a_hook_lags_is_counted_and_the_rest_is_seen(
    broker: barnabas.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    may_go_on = threading.Event()
    seen = Seen()

    def wait(batch: ConsumedBatch) -> None:
        may_go_on.wait(60)
        seen(batch)

    producer = broker.producer()
    with broker.on_append("t", wait) as hook:
        producer.send("t", b"first", partition=0).result(5)
        deadline = time.monotonic() + 20
        while hook.calls == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        producer.send_many("t", [b"%d" % n for n in range(1, 301)], partition=0).result()
        client = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        cut = TopicPartition("t", 0, 101)
        client.delete_records([cut])[cut].result(20)
        may_go_on.set()
        assert hook.wait(20)
        assert seen.offsets == {0: [0, *range(101, 301)]}
        assert hook.missed == 100
    assert "offset 1 was removed before it was read: reading goes on at 101" in caplog.text


def test_what_is_undecided_is_waited_for_where_it_is_shown(broker: barnabas.Broker) -> None:
    may_go_on = threading.Event()
    seen = Seen()

    def wait(batch: ConsumedBatch) -> None:
        may_go_on.wait(60)
        seen(batch)

    producer = make_producer(broker, **{"transactional.id": "undecided"})
    producer.init_transactions(20)
    producer.begin_transaction()
    with (
        broker.on_append("t", wait) as hook,
        broker.on_append("t", seen, isolation_level="read_committed") as decided,
    ):
        for partition in range(2):
            producer.produce("t", "undecided", partition=partition)
        assert producer.flush(20) == 0
        assert decided.wait(20)
        assert not hook.wait(0)
        may_go_on.set()
        assert hook.wait(20)
        assert seen.values == [b"undecided"] * 2
    producer.abort_transaction(20)


def test_topics_and_partitions_that_come_later_are_seen_from_their_beginning(
    broker: barnabas.Broker,
) -> None:
    seen = Seen()
    with broker.on_append("later", seen) as hook:
        broker.create_topic("later")
        produce(broker, "later", ["first"])
        assert hook.wait(20)
    assert seen.values == [b"first"]


def test_read_committed_leaves_out_what_is_aborted(broker: barnabas.Broker) -> None:
    everything, decided = Seen(), Seen()
    producer = make_producer(broker, **{"transactional.id": "x"})
    producer.init_transactions(20)
    with (
        broker.on_append("t", everything) as hook,
        broker.on_append("t", decided, isolation_level="read_committed") as committed_only,
    ):
        for value, is_kept in ((b"aborted", False), (b"kept", True)):
            producer.begin_transaction()
            producer.produce("t", value, partition=0)
            assert producer.flush(20) == 0
            if is_kept:
                producer.commit_transaction(20)
            else:
                producer.abort_transaction(20)
        assert hook.wait(20)
        # The client has its answer when the end is decided: the marker may be on its way yet.
        deadline = time.monotonic() + 20
        while not decided.values:
            assert time.monotonic() < deadline
            assert committed_only.wait(20)
    assert everything.values == [b"aborted", b"kept"]
    assert decided.values == [b"kept"]


def test_a_hook_may_use_its_broker_and_ends_with_it(broker: barnabas.Broker) -> None:
    producer = broker.producer()

    def copy(batch: ConsumedBatch) -> None:
        for value in batch.values:
            producer.send("copy", value).result(20)

    broker.create_topic("copy")
    hook = broker.on_append("t", copy)
    produce(broker, "t", ["value"])
    assert hook.wait(20)
    assert broker.services.core.partition_info("copy", 0).high_watermark == 1
    threads = [thread for thread in threading.enumerate() if thread.name == "hook t"]
    broker.close()
    deadline = time.monotonic() + 20
    while any(thread.is_alive() for thread in threads):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not hook.wait(20)
    hook.remove()
    assert not hook.wait(20)


def test_what_cannot_be_a_hook_is_refused(broker: barnabas.Broker) -> None:
    with pytest.raises(TypeError, match="call must be something to be called"):
        broker.on_append("t", "print")  # type: ignore[arg-type]
    with pytest.raises(barnabas.ConfigError, match="isolation_level"):
        broker.on_append("t", print, isolation_level="serializable")
    broker.close()
    with pytest.raises(barnabas.BrokerClosed):
        broker.on_append("t", print)


def test_a_hook_outlives_a_disk_that_cannot_be_read(
    broker: barnabas.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()
    producer = broker.producer()
    with broker.on_append("t", seen) as hook:
        with broker.faults.disk.fail("read", "t-0/*.log"):
            producer.send("t", b"unreadable", partition=0).result(5)
            with pytest.raises(KafkaError, match="Input/output error"):
                hook.wait(20)
            assert isinstance(hook.failure, KafkaError)
            producer.send("t", b"other", partition=1).result(5)
            deadline = time.monotonic() + 20
            while seen.values != [b"other"]:  # partition 0 holds up nobody
                assert time.monotonic() < deadline
                time.sleep(0.01)
        while hook.failure is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert hook.wait(20)
        assert seen.values == [b"other", b"unreadable"]
    assert caplog.text.count("cannot read") == 1


def test_a_hook_cannot_wait_in_its_own_call_but_be_removed(broker: barnabas.Broker) -> None:
    outcomes: list[BaseException | str] = []
    is_over = threading.Event()

    def see(_: ConsumedBatch) -> None:
        try:
            hook.wait()
        except RuntimeError as error:
            outcomes.append(error)
        hook.remove()
        outcomes.append("removed")
        is_over.set()

    hook = broker.on_append("t", see)
    producer = broker.producer()
    producer.send("t", b"first").result(20)
    assert is_over.wait(20)
    hook.remove()
    producer.send("t", b"second").result(20)
    refused, removed = outcomes
    assert "in its own call" in str(refused)
    assert removed == "removed"
    assert hook.calls == 1
