"""The control plane: how many requests a core serves, and what they do to producers."""

import contextlib
import time

from bench import native_load
from bench.control_load import (
    HEARTBEATS,
    METADATA,
    OFFSET_COMMITS,
    Beside,
    ControlLoad,
    Kind,
)
from bench.operation import Operation
from bench.peer import Cost, Measured, Peer
from bench.results import OperationInfo

SECONDS = 1.5
PRODUCE_S = 2.5
WARM_UP_S = 0.7
ALL = (HEARTBEATS, OFFSET_COMMITS, METADATA)
FIFTH_PER_S = (3000.0, 2000.0, 1000.0)  # of what each is to reach on a core
PRODUCE_PER_S = 2000  # requests of one record of 1 KB
SATURATING = (0.0, 0.0, 0.0)
PEERS = ("barnabas", "kafka")
OURS = ("barnabas",)  # what the control plane takes from producers is compared with itself


def operations() -> list[Operation]:
    kinds = (("heartbeats", HEARTBEATS), ("offset commits", OFFSET_COMMITS), ("metadata", METADATA))
    return [
        *(_saturated(name, kind) for name, kind in kinds),
        _produce_latency(is_loaded=False),
        _produce_latency(is_loaded=True),
        _produce_speed(is_loaded=False),
        _produce_speed(is_loaded=True),
    ]


def _saturated(name: str, kind: Kind) -> Operation:
    def run(peer: Peer) -> Measured:
        load = ControlLoad(peer, kind)
        load.run(WARM_UP_S)
        warm, begin = load.answered, time.monotonic()
        with Cost(peer) as cost:
            load.run(SECONDS)
        wall_s = time.monotonic() - begin
        done = load.answered - warm
        load.close()
        return Measured(
            {
                "requests_per_s": done / wall_s,
                "per_cpu_s": done / cost.cpu_s,
                "cpu_us_per_request": cost.cpu_s / done * 1e6,
            }
        )

    suffix = " of 100 topics" if name == "metadata" else ""
    info = OperationInfo(
        f"control-{name.replace(' ', '-')}",
        name + suffix,
        "Control plane",
        "pipelined sockets",
        ("per_cpu_s", "requests_per_s"),
    )
    return Operation(info, run, peers=PEERS)


def _produce_latency(is_loaded: bool) -> Operation:
    def run(peer: Peer) -> Measured:
        return _beside_control(
            peer,
            FIFTH_PER_S if is_loaded else None,
            batch_records=1,
            record_size=1000,
            rate=PRODUCE_PER_S,
        )

    suffix = "beside a fifth of all three" if is_loaded else "alone"
    info = OperationInfo(
        f"control-produce-latency-{'loaded' if is_loaded else 'alone'}",
        f"produce 2,000 records/s, {suffix}",
        "Producers beside the control plane",
        "barnabas bench, pipelined sockets",
        ("p99_ms", "mb_per_s"),
    )
    return Operation(info, run, peers=OURS)


def _produce_speed(is_loaded: bool) -> Operation:
    def run(peer: Peer) -> Measured:
        return _beside_control(
            peer, SATURATING if is_loaded else None, batch_size=16 << 10, record_size=1000
        )

    suffix = "beside all three at saturation" if is_loaded else "alone"
    info = OperationInfo(
        f"control-produce-speed-{'loaded' if is_loaded else 'alone'}",
        f"produce at saturation, {suffix}",
        "Producers beside the control plane",
        "barnabas bench, pipelined sockets",
        ("p99_ms", "mb_per_s"),
    )
    return Operation(info, run, peers=OURS)


def _beside_control(peer: Peer, rates: tuple[float, ...] | None, **options: object) -> Measured:
    """Beside heartbeats, commits and metadata at such rates a second, 0 being as many as are
    answered; None: beside none.
    """
    with peer.topic(4) as topic, contextlib.ExitStack() as stack:
        for kind, rate in zip(ALL, rates or (), strict=False):
            load = ControlLoad(peer, kind)
            stack.callback(load.close)
            stack.enter_context(Beside(load, rate))
        return native_load.load(
            peer,
            "produce",
            topic,
            connections=4,
            in_flight=4,
            warm_up=WARM_UP_S,
            duration=PRODUCE_S,
            **options,
        )
