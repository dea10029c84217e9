"""Moves partitions between log directories while everybody writes to them and reads them."""

from collections.abc import Sequence
from pathlib import Path

from faults.soak.actors import Actor
from faults.soak.history import History, Partition
from unit.wire import WireClient

TIMEOUT_S = 10.0


class Mover(Actor):
    """AlterReplicaLogDirs; what becomes of a move shows in what can be read afterwards."""

    def __init__(
        self,
        name: str,
        bootstrap: str,
        history: History,
        seed: float,
        *,
        partitions: Sequence[Partition],
        log_dirs: Sequence[Path],
    ) -> None:
        super().__init__(name, bootstrap, history, seed)
        self.partitions = partitions
        self.log_dirs = log_dirs

    def step(self) -> None:
        partition = self.rng.choice(self.partitions)
        topic = {"name": partition.topic, "partitions": [partition.index]}
        place = {"path": str(self.rng.choice(self.log_dirs)), "topics": [topic]}
        try:
            with WireClient(self.bootstrap, TIMEOUT_S) as client:
                client.ask("AlterReplicaLogDirs", 2, dirs=[place])
        except OSError:  # the broker is down: moved, on the way or not
            self.stopping.wait(0.1)
        self.stopping.wait(self.rng.uniform(0.1, 1))
