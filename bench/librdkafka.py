"""The load of confluent-kafka's client, librdkafka: what most users run."""

import contextlib
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bench.peer import Cost, Measured, Peer

VALUE_POOL = 1000
WORDS = 513
TIMEOUT_S = 120.0
STATISTICS_MS = 200
FETCH_BACKOFF_MS = 5


class Traffic:
    """The client's own count of requests and bytes, from librdkafka's statistics."""

    def __init__(self) -> None:
        self._latest: dict[str, Any] = {}
        self._taken = 0

    def config(self) -> dict[str, Any]:
        return {"statistics.interval.ms": STATISTICS_MS, "stats_cb": self._take}

    def _take(self, text: str) -> None:
        self._latest = json.loads(text)
        self._taken += 1

    def await_latest(self, poll: Callable[[float], object]) -> None:
        """Polls until statistics have come that were made after this call."""
        before = self._taken
        deadline = time.monotonic() + TIMEOUT_S
        while self._taken < before + 2 and time.monotonic() < deadline:  # one may be on its way
            poll(0.02)

    def requests(self, api: str) -> int:
        """How many of an API were sent. Raises LookupError while nothing is known."""
        count = sum(broker["req"].get(api, 0) for broker in self._brokers())
        if count == 0:
            raise LookupError(f"librdkafka's statistics tell of no {api} request")
        return int(count)

    def wire_bytes(self, direction: str) -> int:
        """All that was sent ("tx") or received ("rx")."""
        return int(sum(broker[f"{direction}bytes"] for broker in self._brokers()))

    def _brokers(self) -> list[dict[str, Any]]:
        return list(self._latest.get("brokers", {}).values())


def random_words(size: int) -> bytes:
    """Text in which a codec finds about what it finds in a log file."""
    words = [f"{n * 7919:x}" for n in range(1, WORDS)]
    return " ".join(random.choices(words, k=size // 2))[:size].encode()


def produce(
    peer: Peer,
    topic: str,
    record_bytes: int,
    payload_bytes: int,
    config: Mapping[str, object] | None = None,
    *,
    make_value: Callable[[int], bytes] = os.urandom,
) -> Measured:
    """Records of random bytes, unless told, so that nothing is compressed by accident, with
    librdkafka's defaults but for `config`. Measured from when a first record was acknowledged: a
    client that finds its broker while it asks for a topic waits for 100 ms, or does not, by chance.
    """
    values = [make_value(record_bytes) for _ in range(VALUE_POOL)]
    traffic = Traffic()
    producer = Producer(
        {
            "bootstrap.servers": peer.bootstrap,
            "acks": "all",
            "log_level": 3,
            **traffic.config(),
            **(config or {}),
        }
    )
    count = payload_bytes // record_bytes
    failed: list[object] = []

    def on_delivery(error: object, _: Message) -> None:
        if error is not None:
            failed.append(error)

    def send() -> None:
        for i in range(count):
            value = values[i % VALUE_POOL]
            while True:
                try:
                    # A callback for a record in a thousand tells of failures as well as one each.
                    if i % VALUE_POOL:
                        producer.produce(topic, value)
                    else:
                        producer.produce(topic, value, on_delivery=on_delivery)
                        producer.poll(0)
                    break
                except BufferError:
                    producer.poll(0.01)
        assert producer.flush(TIMEOUT_S) == 0
        assert not failed, failed[0]

    producer.produce(topic, values[0], on_delivery=on_delivery)
    assert producer.flush(TIMEOUT_S) == 0
    found = _measure(peer, count * record_bytes, send)
    traffic.await_latest(producer.poll)
    requests = traffic.requests("Produce")
    peer.memo["produce_request_bytes"] = traffic.wire_bytes("tx") / requests
    peer.memo["payload_share"] = count * record_bytes / traffic.wire_bytes("tx")
    found["requests_per_s"] = requests / found.pop("wall_s")
    return Measured(found)


def fetch(
    peer: Peer, topic: str, partitions: int, record_bytes: int, payload_bytes: int
) -> Measured:
    """All partitions of the topic from the start, by one consumer; measured from its first record
    on, as `produce`.
    """
    traffic = Traffic()
    consumer = Consumer(
        {
            "bootstrap.servers": peer.bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            # A client whose queue is full would sleep for a second, which is no broker's speed.
            "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
            **traffic.config(),
        }
    )
    count = payload_bytes // record_bytes - 1

    def read() -> None:
        deadline = time.monotonic() + TIMEOUT_S
        left = count
        while left > 0:  # there is one more
            messages = consumer.consume(10_000, 0.1)
            left -= len(messages)
            assert messages or time.monotonic() < deadline, f"{left} of {count} records missing"

    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    assert consumer.consume(1, TIMEOUT_S), f"no record of {count}"
    found = _measure(peer, count * record_bytes, read)
    found.pop("wall_s")
    consumer.unassign()
    traffic.await_latest(consumer.poll)
    peer.memo["fetch_answer_bytes"] = traffic.wire_bytes("rx") / traffic.requests("Fetch")
    peer.memo["payload_share"] = count * record_bytes / traffic.wire_bytes("rx")
    consumer.close()
    return Measured(found)


def _measure(peer: Peer, payload_bytes: int, run: Callable[[], None]) -> dict[str, float]:
    threads = _thread_cpu_s()
    own_begin_s, begin = time.process_time(), time.monotonic()
    with Cost(peer) as cost:
        run()
        wall_s = time.monotonic() - begin
    own_s = time.process_time() - own_begin_s
    busiest_s = max(now - threads.get(thread, 0.0) for thread, now in _thread_cpu_s().items())
    return {
        "wall_s": wall_s,
        "mb_per_s": payload_bytes / 1e6 / wall_s,
        "cpu_s_per_gb": cost.cpu_s / (payload_bytes / 1e9),
        "client_cpu_s_per_gb": own_s / (payload_bytes / 1e9),
        "client_thread": busiest_s / wall_s,
        "busy_cores": (own_s + cost.cpu_s) / wall_s,
        "context_switches_per_s": cost.context_switches / wall_s,
        "peak_rss_mb": cost.peak_rss_bytes / 1e6,
    }


def _thread_cpu_s() -> dict[str, float]:
    """What each thread of this process has run for."""
    found = {}
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of a connection may end meanwhile
            found[thread.name] = int((thread / "schedstat").read_text().split()[0]) / 1e9
    return found
