"""Operations that need a broker of their own: they start, stop or kill it."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.peer import Measured, Peer


def with_own_server(run: Callable[[Peer], Measured]) -> Callable[[Peer], Measured]:
    """Runs with a fresh broker, not started yet, instead of the one that serves the others."""

    def run_with_own(peer: Peer) -> Measured:
        with tempfile.TemporaryDirectory(prefix="barnabas-bench-") as directory:
            own = Peer(peer.new_server, Path(directory))
            try:
                return run(own)
            finally:
                if own.server.child is not None:
                    own.server.kill()

    return run_with_own
