"""What `bench` asks a cluster, and the plan that it makes of the answers for the native core."""

import argparse
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from barnabas.cli.admin import Partition, end_offsets, start_offsets
from barnabas.cli.bench import ACKS, CODECS
from barnabas.cli.cluster import (
    REQUEST_TIMEOUT_S,
    ClusterErrors,
    await_metadata,
    connect_admin,
    error_text,
)
from barnabas.cli.failure import CommandError
from barnabas.wording import counted

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from barnabas._core import LoadPlan

_DEFAULT_KEYS: Final = 10_000
_NEEDED_VERSIONS: Final = {0: ("Produce", 9), 1: ("Fetch", 12)}
_API_VERSIONS: Final = struct.pack(">ihhih", 10, 18, 0, 0, -1)  # a whole frame, without client id
_LEADER_WAIT_S: Final = 10.0  # for topics just made


@dataclass(frozen=True)
class LedPartition:
    """One partition and who leads it."""

    topic: str
    number: int
    leader: int


@dataclass(frozen=True)
class Cluster:
    """The brokers that lead partitions under load, and the partitions."""

    brokers: dict[int, tuple[str, int]]  # id -> host, port
    partitions: list[LedPartition]


def topic_names(args: argparse.Namespace) -> list[str]:
    """The topics that --topic and --topics name."""
    if args.topics is None:
        return [args.topic]
    return [f"{args.topic}-{number}" for number in range(args.topics)]


def make_plan(args: argparse.Namespace) -> "tuple[LoadPlan, Cluster]":
    """Asks the cluster, makes topics where told, and plans the load."""
    admin = connect_admin(args)
    topics = topic_names(args)
    if args.operation != "consume" and args.create:
        _create_topics(admin, topics, args)
    cluster = _find_leaders(admin, topics, args)
    for host, port in cluster.brokers.values():
        _check_versions(host, port, args.connect_timeout)
    plan = _base_plan(args)
    if args.operation != "consume":
        _plan_records(plan, args, cluster)
    _add_partitions(plan, args, admin, cluster)
    if args.operation != "consume":
        for broker, partitions in _spread(cluster, args.connections):
            plan.add_connection(*cluster.brokers[broker], False, partitions)
    if args.operation != "produce":
        count = min(args.connections, len(cluster.partitions))
        count = args.connections if args.operation == "consume" else count
        for broker, partitions in _divide(cluster, count):
            plan.add_connection(*cluster.brokers[broker], True, partitions)
    return plan, cluster


def _create_topics(admin: "AdminClient", topics: Sequence[str], args: argparse.Namespace) -> None:
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    count = args.partitions or 1
    new = [NewTopic(name, num_partitions=count, config=dict(args.config)) for name in topics]
    futures = admin.create_topics(
        new, operation_timeout=REQUEST_TIMEOUT_S, request_timeout=REQUEST_TIMEOUT_S
    )
    existing = []
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise CommandError(f"cannot create topic {name}: {error_text(error)}") from None
            existing.append(name)
    if args.partitions is None or not existing:
        return
    known = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    for name in existing:
        has = len(known[name].partitions) if name in known else count
        if has != count:
            raise CommandError(
                f"topic {name} exists already and has {counted(has, 'partition')}, not {count}"
            )


def _find_leaders(admin: "AdminClient", topics: Sequence[str], args: argparse.Namespace) -> Cluster:
    """Where the partitions are; waits for those that have no leader yet."""
    deadline = time.monotonic() + _LEADER_WAIT_S
    while True:
        metadata = await_metadata(admin, ClusterErrors(), args)
        missing = [name for name in topics if name not in metadata.topics]
        if missing and not getattr(args, "create", False):
            hint = "" if args.operation == "consume" else " (--create makes it)"
            raise CommandError(f"topic {missing[0]} does not exist{hint}")
        partitions = [
            LedPartition(name, number, partition.leader)
            for name in topics
            if name in metadata.topics
            for number, partition in sorted(metadata.topics[name].partitions.items())
        ]
        leaderless = [p for p in partitions if p.leader not in metadata.brokers]
        if not missing and not leaderless:
            break
        if time.monotonic() > deadline:
            name = missing[0] if missing else f"{leaderless[0].topic}-{leaderless[0].number}"
            raise CommandError(f"{name} has no leader")
        time.sleep(0.1)
    leaders = {partition.leader for partition in partitions}
    brokers = {
        number: (broker.host or "", broker.port)
        for number, broker in metadata.brokers.items()
        if number in leaders
    }
    return Cluster(brokers, partitions)


def _check_versions(host: str, port: int, timeout_s: float) -> None:
    """Raises CommandError when the broker lacks the versions of requests that the core sends."""
    from kio.schema.api_versions.v0.response import ApiVersionsResponse
    from kio.serial import entity_reader

    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.sendall(_API_VERSIONS)
            stream = connection.makefile("rb")
            (size,) = struct.unpack(">i", stream.read(4))
            answer, _ = entity_reader(ApiVersionsResponse)(stream.read(size), 4)
    except (OSError, struct.error) as error:
        reason = getattr(error, "strerror", None) or "it does not answer"
        raise CommandError(f"cannot reach the broker at {host}:{port}: {reason}") from None
    ranges = {int(key.api_key): (key.min_version, key.max_version) for key in answer.api_keys}
    for key, (name, version) in _NEEDED_VERSIONS.items():
        low, high = ranges.get(key, (0, -1))
        if not low <= version <= high:
            raise CommandError(f"the broker at {host}:{port} does not know {name} {version}")


def _base_plan(args: argparse.Namespace) -> "LoadPlan":
    from barnabas._core import LoadPlan

    plan = LoadPlan()
    plan.threads = args.threads
    plan.warm_up_s = args.warm_up
    plan.duration_s = args.duration or 0.0
    plan.records = args.records or 0
    if args.operation == "consume":
        plan.fetch_max_bytes = args.max_bytes
        plan.partition_max_bytes = args.max_partition_bytes
        plan.fetch_min_bytes = args.min_bytes
        plan.fetch_max_wait_ms = args.max_wait_ms
        plan.repeat = args.repeat
        plan.verify = args.verify
    return plan


def _plan_records(plan: "LoadPlan", args: argparse.Namespace, cluster: Cluster) -> None:
    plan.rate = args.rate
    plan.linger_s = args.linger_ms / 1000
    plan.in_flight = args.in_flight
    plan.acks = ACKS[args.acks]
    plan.record_size = args.record_size
    plan.batch_bytes = args.batch_size
    plan.batch_records = args.batch_records
    plan.codec = CODECS.index(args.codec)
    plan.stamped = args.operation == "end-to-end"
    if args.key_distribution == "none":
        return
    sizes = dict.fromkeys(topic_names(args), 0)
    for partition in cluster.partitions:
        sizes[partition.topic] += 1
    if len(set(sizes.values())) > 1:
        raise CommandError("keys need topics with the same number of partitions")
    plan.set_key_distribution(args.key_distribution)
    plan.keys = args.keys or _DEFAULT_KEYS
    plan.partitions_per_topic = next(iter(sizes.values()))


def _add_partitions(
    plan: "LoadPlan", args: argparse.Namespace, admin: "AdminClient", cluster: Cluster
) -> None:
    """Adds them in the cluster's order, so that an index means the same in both."""
    names: list[Partition] = [(p.topic, p.number) for p in cluster.partitions]
    starts: dict[Partition, int] = {}
    ends: dict[Partition, int] = {}
    if args.operation == "end-to-end":
        starts = end_offsets(admin, names)
    elif args.operation == "consume":
        starts = start_offsets(admin, names)
        if args.duration is None or args.repeat:
            ends = end_offsets(admin, names)
            if all(starts[name] >= ends[name] for name in names):
                raise CommandError(f"there is nothing to fetch in {', '.join(topic_names(args))}")
    for name in names:
        plan.add_partition(*name, starts.get(name, 0), ends.get(name, -1))


def _partitions_of(cluster: Cluster) -> dict[int, list[int]]:
    """Broker id to the indexes of the partitions it leads."""
    led: dict[int, list[int]] = {broker: [] for broker in cluster.brokers}
    for index, partition in enumerate(cluster.partitions):
        led[partition.leader].append(index)
    return led


def _connections_of(led: dict[int, list[int]], count: int) -> dict[int, int]:
    """How many connections each broker gets: in turns, and one at least."""
    brokers = list(led)
    return {
        broker: max(1, count // len(brokers) + (position < count % len(brokers)))
        for position, broker in enumerate(brokers)
    }


def _spread(cluster: Cluster, count: int) -> list[tuple[int, list[int]]]:
    """Producing connections: each sends to all partitions of its broker."""
    led = _partitions_of(cluster)
    connections = _connections_of(led, count)
    return [(broker, led[broker]) for broker in led for _ in range(connections[broker])]


def _divide(cluster: Cluster, count: int) -> list[tuple[int, list[int]]]:
    """Consuming connections: the partitions of a broker divided among its connections; where there
    are more connections than partitions, some are read by several."""
    led = _partitions_of(cluster)
    divided = []
    for broker, connections in _connections_of(led, count).items():
        partitions = led[broker]
        for position in range(connections):
            own = partitions[position::connections] or [partitions[position % len(partitions)]]
            divided.append((broker, own))
    return divided
