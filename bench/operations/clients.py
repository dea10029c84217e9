"""Produce and fetch as fast as real clients go: librdkafka's and Java's default batches."""

from bench import kafka_tools, librdkafka
from bench.kernel import Kernel
from bench.operation import JAVA, LIBRDKAFKA, Operation
from bench.peer import Measured, Peer
from bench.results import OperationInfo

PARTITIONS = 4
RECORD_BYTES = (100, 1000)
PAYLOAD_BYTES = {100: 150_000_000, 1000: 300_000_000}
FETCH_PAYLOAD_BYTES = {100: 80_000_000, 1000: 300_000_000}
WRITES_GB = 0.5
KERNEL_S = 1.0
TOOL_RECORD_BYTES = 100
TOOL_PAYLOAD_BYTES = 40_000_000
TOOL_WRITES_GB = 0.1
SHOWN = (
    "cpu_s_per_gb",
    "mb_per_s",
    "client_cpu_s_per_gb",
    "client_thread",
    "busy_cores",
    "context_switches_per_s",
    "peak_rss_mb",
)


def operations() -> list[Operation]:
    found = []
    for size in RECORD_BYTES:
        found += [_produce(size), _fetch(size)]
    return [*found, _java_produce(TOOL_RECORD_BYTES), _java_fetch(TOOL_RECORD_BYTES)]


def _title(what: str, record_bytes: int) -> str:
    return f"{what}, {record_bytes} B records"


def _of_payload(loop: Kernel, found: Measured) -> Measured:
    """The kernel's cost of the same values, with what the protocol adds to them."""
    share = loop.memo["payload_share"]
    metrics = dict(found.metrics)
    metrics["cpu_s_per_gb"] /= share
    metrics["mb_per_s"] *= share
    return Measured(metrics)


def _produce(size: int) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(PARTITIONS) as topic:
            return librdkafka.produce(peer, topic, size, PAYLOAD_BYTES[size])

    def kernel(loop: Kernel) -> Measured:
        return _of_payload(loop, loop.produce(loop.memo["produce_request_bytes"], seconds=KERNEL_S))

    info = OperationInfo(
        f"librdkafka-produce-{size}",
        _title("produce, librdkafka", size),
        "Real clients",
        LIBRDKAFKA,
        SHOWN,
    )
    return Operation(
        info, run, kernel, is_core=True, writes_gb=WRITES_GB, warm_up_by="cpu_s_per_gb"
    )


def _fetch(size: int) -> Operation:
    def run(peer: Peer) -> Measured:
        payload = FETCH_PAYLOAD_BYTES[size]
        topic = peer.filled_topic(
            PARTITIONS, lambda topic: librdkafka.produce(peer, topic, size, payload)
        )
        return librdkafka.fetch(peer, topic, PARTITIONS, size, payload)

    def kernel(loop: Kernel) -> Measured:
        sizes = loop.memo["fetch_answer_bytes"], loop.memo["produce_request_bytes"]
        return _of_payload(loop, loop.fetch(*sizes, seconds=KERNEL_S))

    info = OperationInfo(
        f"librdkafka-fetch-{size}",
        _title("fetch, librdkafka", size),
        "Real clients",
        LIBRDKAFKA,
        SHOWN,
    )
    return Operation(
        info, run, kernel, is_core=True, writes_gb=WRITES_GB, warm_up_by="cpu_s_per_gb"
    )


def _java_produce(size: int) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(PARTITIONS) as topic:
            count = TOOL_PAYLOAD_BYTES // size
            return kafka_tools.producer_performance(peer, topic, count, size)

    info = OperationInfo(
        f"java-produce-{size}",
        _title("produce, ProducerPerformance", size),
        "Kafka's own tools",
        JAVA,
        ("cpu_s_per_gb", "mb_per_s", "busy_cores"),
    )
    return Operation(info, run, peers=("barnabas", "kafka"), writes_gb=TOOL_WRITES_GB)


def _java_fetch(size: int) -> Operation:
    def run(peer: Peer) -> Measured:
        count = TOOL_PAYLOAD_BYTES // size
        topic = peer.filled_topic(
            PARTITIONS, lambda topic: kafka_tools.producer_performance(peer, topic, count, size)
        )
        return kafka_tools.consumer_performance(peer, topic, count, size)

    info = OperationInfo(
        f"java-fetch-{size}",
        _title("fetch, ConsumerPerformance", size),
        "Kafka's own tools",
        JAVA,
        ("cpu_s_per_gb", "mb_per_s", "busy_cores"),
    )
    return Operation(info, run, peers=("barnabas", "kafka"), writes_gb=TOOL_WRITES_GB)
