"""A broker under attack, and what must hold after each attack."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.wire import Bystander
from peers.servers import Server

MEMORY_GROWTH_LIMIT_BYTES = 150 << 20
WORST_WAIT_S = 5.0  # of a bystander, on a busy machine
LEFTOVER_DESCRIPTORS = 8
SERVER_CONFIG = {"socket.request.max.bytes": str(10 << 20)}


@contextmanager
def under_attack(server: Server) -> Iterator[None]:
    """Whatever happens inside: the broker lives, stays small, and serves others meanwhile."""
    before = peak_rss_bytes(server)
    seen = len(server.output())
    bystander = Bystander(server.port)
    try:
        yield
    finally:
        bystander.stop()
    assert server.child is not None
    assert server.child.is_running(), server.child.describe()
    assert bystander.failure is None, bystander.failure
    assert bystander.answers > 0
    assert bystander.worst_wait_s < WORST_WAIT_S
    growth = peak_rss_bytes(server) - before
    assert growth < MEMORY_GROWTH_LIMIT_BYTES, f"{growth >> 20} MB"
    said = server.output()[seen:]
    found = re.search(r"Traceback|\bERROR\b|\bSanitizer\b", said)
    assert found is None, said[max(0, found.start() - 500) : found.start() + 3000]


def peak_rss_bytes(server: Server) -> int:
    """The most memory that the broker ever had."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def descriptor_count(server: Server) -> int:
    return sum(1 for _ in Path(f"/proc/{server.pid}/fd").iterdir())
