"""One entry of the list of what is measured."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.kernel import Kernel
from bench.peer import Measured, Peer
from bench.results import OperationInfo

BROKERS = ("barnabas", "kafka", "tansu")
NATIVE = "barnabas bench"
LIBRDKAFKA = "confluent-kafka (librdkafka)"
JAVA = "Kafka's own tools"


@dataclass(frozen=True)
class Operation:
    """What is run against each peer.

    `repetitions` None means as many as the run is asked for; `is_core` puts it in the quick run,
    `is_only_core` in no other; `writes_gb` is about what a repetition adds to the page cache.
    Where `is_warmed_up`, Kafka runs it once before it counts, so that its JVM has compiled what
    the operation needs; with `warm_up_by`, a metric, again until that stays what it is. The
    brokers in `once` are measured in the first repetition only: where what is looked for is a
    ratio of Barnabas's own.
    """

    info: OperationInfo
    run: Callable[[Peer], Measured]
    kernel: Callable[[Kernel], Measured] | None = None
    peers: tuple[str, ...] = BROKERS
    repetitions: int | None = None
    is_core: bool = False
    is_only_core: bool = False
    writes_gb: float = 0.0
    is_warmed_up: bool = True
    warm_up_by: str | None = None
    once: tuple[str, ...] = ()
