"""Clients in the broker's process beside confluent-kafka on the network, on one broker, in one run.

    python -m bench.embedded [--records N] [--repetitions N] [--markdown FILE]

Records of 100 B, no compression, one partition; the best of the repetitions counts for both sides,
which take turns. confluent-kafka has its own settings for batches, room to queue all records, and a
fetch.queue.backoff.ms of 5, without which a consumer whose queue is full sleeps for a second.
Prints a table of what was measured beside what was aimed at; a FILE keeps what follows its table.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import confluent_kafka
import numpy as np
import pyarrow as pa

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import barnabas  # noqa: E402
from bench import machine  # noqa: E402

VALUE: Final = b"0123456789" * 10
ROUND_TRIPS: Final = 20_000
LIVES: Final = 10
BROKERS: Final = 100
FORKS: Final = 5
FORKED_GB: Final = 10
FORKED_PARTITIONS: Final = 1_000
# A client whose queue is full would sleep for a second, which is no broker's speed.
FETCH_BACKOFF_MS: Final = 5


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    wanted: str
    measured: str
    is_reached: bool | None  # None: nothing was aimed at

    def __str__(self) -> str:
        mark = {True: "✓", False: "✗", None: ""}[self.is_reached]
        return f"| {self.what} | {self.wanted} | {self.measured} | {mark} |"


class Sides:
    """The same work, done in the process and by confluent-kafka."""

    def __init__(self, broker: barnabas.Broker, records: int) -> None:
        self._broker = broker
        self._records = records
        self._topics = 0
        self.full = self.topic()
        broker.producer().send_many(self.full, [VALUE] * records).result()

    def topic(self, partitions: int = 1) -> str:
        """A new one."""
        self._topics += 1
        name = f"bench-{self._topics}"
        self._broker.create_topic(name, partitions=partitions)
        return name

    def send_many(self) -> float:
        """Records a second of a list of bytes."""
        return self.send_column([VALUE] * self._records)

    def send_column(
        self, values: Any, keys: Any = None, headers: Any = None, partitions: int = 1
    ) -> float:
        """Records a second of a column."""
        topic, producer = self.topic(partitions), self._broker.producer()
        return self._rate(lambda: producer.send_many(topic, values, keys, headers=headers).result())

    def columns(self) -> dict[str, Callable[[], float]]:
        """Records a second of every kind of column; made one at a time, as they are large."""
        count = self._records

        def keys() -> list[bytes]:
            return [b"%08d" % number for number in range(count)]

        def values() -> list[bytes]:
            return [b"%0100d" % number for number in range(count)]

        def offsets_and_data() -> Any:
            return np.arange(count + 1, dtype=np.int64) * len(VALUE), VALUE * count

        return {
            "a list of as many bytes objects": lambda: self.send_column(values()),
            "a list of as many str": lambda: self.send_column([v.decode() for v in values()]),
            "numpy S100": lambda: self.send_column(np.array([VALUE] * count)),
            "(offsets, data)": lambda: self.send_column(offsets_and_data()),
            "Arrow binary": lambda: self.send_column(pa.array([VALUE] * count)),
            "a list, a header of all": lambda: self.send_column(
                [VALUE] * count, headers={"trace": b"0123456789"}
            ),
            "a list, keys of 8 B": lambda: self.send_column([VALUE] * count, keys()),
            "a list, keys of 8 B, 8 partitions": lambda: self.send_column(
                [VALUE] * count, keys(), partitions=8
            ),
        }

    def send(self) -> float:
        """Records a second, from the first call until all are in the log."""
        topic, producer = self.topic(), self._broker.producer()

        def run() -> None:
            for _ in range(self._records):
                producer.send(topic, VALUE)
            producer.flush()

        return self._rate(run)

    def read_columns(self) -> float:
        """Records a second as numpy columns and Arrow's."""
        consumer = self._broker.consumer([self.full], auto_offset_reset="earliest", timeout=0)

        def run() -> None:
            count = 0
            for batch in consumer:
                batch.to_arrow()
                count += len(batch.offsets)
            assert count == self._records

        return self._rate(run)

    def read_objects(self) -> float:
        """Records a second as Python objects."""
        consumer = self._broker.consumer([self.full], auto_offset_reset="earliest", timeout=0)

        def run() -> None:
            assert sum(record.value is not None for b in consumer for record in b) == self._records

        return self._rate(run)

    def network_send(self) -> float:
        """Records a second of confluent-kafka's produce(), until all are acknowledged."""
        topic = self.topic()
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": self._broker.bootstrap_servers,
                "queue.buffering.max.messages": 10_000_000,
                "queue.buffering.max.kbytes": 2_000_000,
            }
        )

        def run() -> None:
            for _ in range(self._records):
                producer.produce(topic, VALUE)
            assert producer.flush(120) == 0

        return self._rate(run)

    def network_read(self) -> float:
        """Records a second of confluent-kafka's consume(), 10,000 at a time."""
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self._broker.bootstrap_servers,
                "group.id": "bench",
                "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
            }
        )
        consumer.assign([confluent_kafka.TopicPartition(self.full, 0, 0)])

        def run() -> None:
            count = 0
            while count < self._records:
                messages = consumer.consume(10_000, 10)
                assert messages
                count += sum(message.value() is not None for message in messages)

        try:
            return self._rate(run)
        finally:
            consumer.close()

    def round_trip_us(self) -> float:
        """The median of send(…).result()."""
        topic, producer = self.topic(), self._broker.producer()
        took = []
        for _ in range(ROUND_TRIPS):
            begin = time.perf_counter_ns()
            producer.send(topic, VALUE).result()
            took.append(time.perf_counter_ns() - begin)
        return statistics.median(took) / 1000

    def _rate(self, run: Callable[[], object]) -> float:
        begin = time.perf_counter()
        run()
        return self._records / (time.perf_counter() - begin)


LIFE: Final = """
import time, barnabas
begin = time.perf_counter()
with barnabas.Broker() as broker:
    broker.producer().send("t", b"0123456789" * 10).result()
    assert broker.consumer(["t"], auto_offset_reset="earliest").poll(5) is not None
print(time.perf_counter() - begin)
"""


def _read_back(broker: barnabas.Broker) -> bool:
    """Whether a broker gives a record back that it is given."""
    broker.producer().send("t", VALUE).result()
    batch = broker.consumer(["t"], auto_offset_reset="earliest").poll(5)
    return batch is not None and batch.values == [VALUE]


def _life_ms() -> float:
    """A broker from its making to its first record read back, and its end."""
    begin = time.perf_counter()
    with barnabas.Broker() as broker:
        assert _read_back(broker)
    return (time.perf_counter() - begin) * 1000


def _first_life_ms() -> float:
    """The same of a process's first broker, with what it imports."""
    done = subprocess.run([sys.executable, "-c", LIFE], capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def _life_rows() -> list[Row]:
    _life_ms()
    rows = []
    for what, measure in (
        ("Broker() to the first record, and close()", _life_ms),
        ("the same, the first of its process", _first_life_ms),
    ):
        ms = statistics.median(measure() for _ in range(LIVES))
        rows.append(Row(what, "≤ 100 ms", f"{ms:.0f} ms", ms <= 100))
    return rows


def _many_brokers_row() -> Row:
    """As many brokers at once, each with a record."""
    begin = time.perf_counter()
    brokers = [barnabas.Broker() for _ in range(BROKERS)]
    work = sum(_read_back(broker) for broker in brokers)
    for broker in brokers:
        broker.close()
    took_s = time.perf_counter() - begin
    return Row(
        f"{BROKERS} brokers in one process",
        "work",
        f"{work} do, {took_s:.1f} s in all",
        work == BROKERS,
    )


def _fork_ms(broker: barnabas.Broker) -> float:
    """The median of fork(), until the fork serves."""
    took = []
    for _ in range(FORKS):
        begin = time.perf_counter()
        fork = broker.fork()
        took.append(time.perf_counter() - begin)
        fork.close()
    return statistics.median(took) * 1000


def _fork_rows() -> list[Row]:
    with barnabas.Broker() as broker:
        producer = broker.producer(batch_size=1 << 20)
        values = [bytes(100_000)] * 1_000
        for _ in range(FORKED_GB * 10):
            producer.send_many("t", values).result()
        large_ms = _fork_ms(broker)
    with barnabas.Broker() as broker:
        broker.create_topic("t", partitions=FORKED_PARTITIONS)
        producer = broker.producer()
        for partition in range(FORKED_PARTITIONS):
            producer.send("t", VALUE, partition=partition)
        producer.flush()
        many_ms = _fork_ms(broker)
    return [
        Row(
            f"fork() of a partition of {FORKED_GB} GB, until it serves",
            "≤ 100 ms",
            f"{large_ms:.0f} ms",
            large_ms <= 100,
        ),
        Row(f"fork() of {FORKED_PARTITIONS} partitions", "", f"{many_ms:.0f} ms", None),
    ]


def _import_ms() -> float:
    code = "import time; b = time.perf_counter(); import barnabas; print(time.perf_counter() - b)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def _rows(sides: Sides, repetitions: int) -> list[Row]:
    def best(*measures: Callable[[], float]) -> list[float]:
        found = [[measure() for measure in measures] for _ in range(repetitions)]
        return [max(values) for values in zip(*found, strict=True)]

    def rate(what: str, least: float, ratio: float, ours: float, theirs: float) -> Row:
        return Row(
            what,
            f"≥ {least / 1e6:g} M/s; ≥ {ratio:g} x",
            f"{ours / 1e6:.2f} M/s; {ours / theirs:.1f} x ({theirs / 1e6:.3f} M/s)",
            ours >= least and ours >= ratio * theirs,
        )

    many, single, network = best(sides.send_many, sides.send, sides.network_send)
    columns, objects, consumed = best(sides.read_columns, sides.read_objects, sides.network_read)
    by_column = {what: best(send)[0] for what, send in sides.columns().items()}
    trip_us = min(sides.round_trip_us() for _ in range(repetitions))
    import_ms = min(_import_ms() for _ in range(5))
    return [
        rate("send_many, against produce()", 5e6, 10, many, network),
        *(
            Row(f"send_many of {what}", "", f"{ours / 1e6:.2f} M/s; {ours / network:.1f} x", None)
            for what, ours in by_column.items()
        ),
        rate("send one by one, against produce()", 6e5, 2, single, network),
        rate("read as numpy and Arrow columns, against consume()", 20e6, 15, columns, consumed),
        rate("read as Python objects, against consume()", 1.5e6, 2, objects, consumed),
        Row("send(…).result(), median", "≤ 30 µs", f"{trip_us:.1f} µs", trip_us <= 30),
        *_life_rows(),
        _many_brokers_row(),
        *_fork_rows(),
        Row("import barnabas", "≤ 40 ms", f"{import_ms:.1f} ms", import_ms <= 40),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.embedded", description=__doc__)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--markdown", type=Path, help="write the table there")
    options = parser.parse_args()
    assert len(VALUE) == 100
    with barnabas.Broker() as broker:
        rows = _rows(Sides(broker, options.records), options.repetitions)
    facts = machine.facts()
    lines = [
        "# Clients in the broker's process",
        "",
        "```",
        f"python -m bench.embedded --records {options.records} "
        f"--repetitions {options.repetitions} --markdown bench/EMBEDDED.md",
        "```",
        "",
        f"On {datetime.now(UTC):%Y-%m-%d}, commit {machine.commit()}: {facts['processor']}, "
        f"{facts['load']}. Records of 100 B, one partition, no compression; the best of "
        f"{options.repetitions}; confluent-kafka over loopback to the same broker, in turn, "
        f"with fetch.queue.backoff.ms={FETCH_BACKOFF_MS} (its default is a second, in which a "
        "consumer with a full queue does nothing).",
        "",
        "| operation | aimed at | measured | |",
        "|---|---|---|---|",
        *map(str, rows),
    ]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.markdown is not None:
        _, heading, rest = (
            options.markdown.read_text() if options.markdown.exists() else ""
        ).partition("\n## ")
        options.markdown.write_text(text + heading + rest)


if __name__ == "__main__":
    main()
