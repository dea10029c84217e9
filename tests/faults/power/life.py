"""One broker's life under strace, and the check of the disks that a power cut may leave of it."""

import math
import os
import pickle
import random
import shutil
import signal
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faults.power.audit import Audit
from faults.power.disk import Disk, Image, read_image, write_image
from faults.power.journal import NEVER, Cut, Journal
from faults.power.trace import Event, Kind, Trace, read_trace, strace_command
from faults.power.workload import Setting, Workload, make_topics
from peers.servers import BarnabasServer

IMAGES_PER_LIFE: Final = 100
GOES_ON_EVERY: Final = 5


class RecordedServer(BarnabasServer):
    """`barnabas serve` under strace, which leaves signals to the broker."""

    @property
    def trace_path(self) -> Path:
        return self.directory / "trace"

    def _command(self) -> list[str]:
        return [*strace_command(self.trace_path), *super()._command()]

    def stop(self) -> None:
        child = self._running()
        os.kill(self._broker_pid(), signal.SIGTERM)
        self.child = None
        self._check_stop(child.process.wait(60), child)

    def kill(self) -> None:
        child = self._running()
        self.child = None
        if child.is_running():
            os.kill(self._broker_pid(child.pid), signal.SIGKILL)
        child.process.wait(60)

    def _broker_pid(self, strace: int | None = None) -> int:
        strace = strace or self.pid
        return int(Path(f"/proc/{strace}/task/{strace}/children").read_text().split()[0])


@dataclass
class Life:
    """What was recorded."""

    before: Image
    trace: Trace
    journal: Journal
    setting: Setting

    @property
    def events(self) -> Sequence[Event]:
        return self.trace.events

    def cut(self, position: int) -> Cut:
        """Behind so many events."""
        after = self.events[position].time_ns if position < len(self.events) else NEVER
        later = (e.time_ns for e in self.events[position:] if not e.is_end)
        return Cut(after, next(later, NEVER))

    def positions(self, count: int, rng: random.Random) -> list[int]:
        """Moments, in order: anywhere, beside what is not mere data, right after answers."""
        everywhere = range(len(self.events) + 1)
        marked = [
            n for n in everywhere[:-1] if self.events[n].call.kind not in (Kind.WRITE, Kind.SYNC)
        ]
        times = [event.time_ns for event in self.events]
        answers = [t for t in self.journal.answers() if times[0] < t < NEVER]
        chosen = []
        for _ in range(count):
            kind = rng.randrange(3)
            if kind == 0:
                chosen.append(rng.choice(everywhere))
            elif kind == 1:
                chosen.append(rng.choice(marked) + rng.randrange(2))
            else:
                chosen.append(bisect_left(times, rng.choice(answers)))
        return sorted(chosen)


@dataclass
class World:
    """What there is when a broker starts, and what clients know of it."""

    setting: Setting
    image: Image = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)


def record(directory: Path, seed: str, world: World) -> Life:
    """Lets a broker live in a world, whose journal goes on."""
    root = directory / "disk"
    write_image(world.image, root)
    server = RecordedServer(directory, world.setting.config(root))
    with server:
        make_topics(server.bootstrap, world.journal)
        Workload(server.bootstrap, world.journal, random.Random(seed)).run()
        server.stop()
    trace = read_trace(server.trace_path, root, [*world.image])
    server.trace_path.unlink()
    _check_nothing_is_left_out(trace, world.image, read_image(root))
    shutil.rmtree(root)
    return Life(world.image, trace, world.journal, world.setting)


def _check_nothing_is_left_out(trace: Trace, before: Image, after: Image) -> None:
    """What was recorded gives what there is in the end."""
    disk = Disk(trace, before)
    for event in trace.events:
        disk.take(event)
    disk.make_durable()
    recorded = disk.after_cut(random.Random(0))
    assert recorded.keys() == after.keys(), recorded.keys() ^ after.keys()
    others = [path for path in after if after[path] != recorded[path]]
    assert not others, f"written without our seeing it: {others}"


def world_after_cut(life: Life, seed: str) -> World:
    """One of those that a life may have come to. The life's own journal is used up."""
    rng = random.Random(seed)
    (position,) = life.positions(1, rng)
    disk = Disk(life.trace, life.before)
    for event in life.events[:position]:
        disk.take(event)
    life.journal.live_until(life.cut(position))
    return World(life.setting, disk.after_cut(rng), life.journal)


def lives(directory: Path, seed: int, images: int) -> Iterator[tuple[Life, str, int]]:
    """Lives that give so many images, each with its seed and its share: every other one goes on
    where a cut has left the one before, and may be cut while it starts, too.
    """
    count = max(2, 2 * math.ceil(images / IMAGES_PER_LIFE / 2))
    for number in range(count):
        name = f"{seed} {number}"
        if number % 2 == 0:
            world = World(Setting.draw(random.Random(name)))
        life = record(directory / str(number), name, world)
        share = images * (number + 1) // count - images * number // count
        yield life, name, share
        if number % 2 == 0:
            world = world_after_cut(life, f"{name} next")


# -- in a process of its own


def check(path: str, seed: str, images: str, kept: str) -> None:
    """Makes disks of the life in a file, and says "image N" before it opens each. What one that
    fails was made of stays in `kept`.
    """
    life: Life = pickle.loads(Path(path).read_bytes())
    disk = Disk(life.trace, life.before)
    taken = 0
    positions = life.positions(int(images), random.Random(f"{seed} positions"))
    with tempfile.TemporaryDirectory(dir=_fast_directory()) as scratch:
        root = Path(scratch) / "data"
        for number, position in enumerate(positions):
            for event in life.events[taken:position]:
                disk.take(event)
            taken = position
            rng = random.Random(f"{seed} {number}")
            image = disk.after_cut(rng)
            write_image(image, root)
            print(f"image {number}, behind {position} of {len(life.events)} events", flush=True)
            try:
                audit = Audit(root, life.setting, life.journal, life.cut(position))
                audit.check(rng, goes_on=number % GOES_ON_EVERY == 0)
            except BaseException:
                write_image(image, Path(kept))
                for event in life.events[max(0, position - 10) : position]:
                    print("end" if event.is_end else "begin", event.time_ns, event.call)
                raise


def _fast_directory() -> str | None:
    """Memory, where there is some."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
