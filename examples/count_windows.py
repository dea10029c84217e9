"""Counts records by key, in windows of time, in the process of the broker that takes them.

    python count_windows.py clicks clicks-a-minute --data-dir ./data --port 9092

Any Kafka client sends to the topic `clicks` and reads `clicks-a-minute`: a record for each change
of a count, with the key `<window>/<key>`, the count so far as its value, and the time at which the
window begins. The topic is compacted, so it stays a table of the counts.

A batch's counts and the offset behind it are one transaction: after a kill at any moment each
record has been counted once. The counts in memory are read back from the topic at the start.
Whatever goes wrong ends the program; the next start goes on. A window takes records until time, by
the newest record seen, is --grace seconds behind its end; what comes later is not counted.
"""

import argparse
import signal
from collections import Counter

import barnabas

POLL_S = 0.2
MS_PER_S = 1000
Window = tuple[int, str]  # when it begins, in ms, and the key


class Counts:
    """The counts of the windows that are open."""

    def __init__(self, window_ms: int, grace_ms: int) -> None:
        self._window_ms = window_ms
        self._grace_ms = grace_ms
        self._counts: dict[Window, int] = {}
        self._newest_ms = 0
        self.late = 0

    def restore(self, results: barnabas.ConsumedBatch) -> None:
        """Takes what an earlier run has written."""
        for record in results:
            key = (record.key or b"").decode().partition("/")[2]
            self._counts[record.timestamp, key] = int(record.value or b"0")
        self._move_to(int(results.timestamps.max()))

    def add(self, records: barnabas.ConsumedBatch) -> dict[Window, int]:
        """Counts records; the counts that have changed."""
        starts = records.timestamps // self._window_ms * self._window_ms
        keys = [(key or b"").decode(errors="replace") for key in records.keys]
        changed = {}
        for window, number in Counter(zip(starts.tolist(), keys, strict=True)).items():
            if self._is_closed(window[0]):
                self.late += number
            else:
                changed[window] = self._counts.get(window, 0) + number
        self._counts.update(changed)
        self._move_to(int(records.timestamps.max()))
        return changed

    def _move_to(self, time_ms: int) -> None:
        self._newest_ms = max(self._newest_ms, time_ms)
        for window in [window for window in self._counts if self._is_closed(window[0])]:
            del self._counts[window]

    def _is_closed(self, start_ms: int) -> bool:
        return start_ms + self._window_ms + self._grace_ms <= self._newest_ms


def run(broker: barnabas.Broker, args: argparse.Namespace) -> None:
    """Counts until SIGTERM or Ctrl-C."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # First the producer: it aborts the transaction in which an earlier run was killed.
    producer = broker.producer(transactional_id=args.results)
    settings = {"isolation_level": "read_committed", "auto_offset_reset": "earliest"}
    counts = Counts(args.window * MS_PER_S, args.grace * MS_PER_S)
    for results in broker.consumer([args.results], timeout=0, **settings):
        counts.restore(results)
    consumer = broker.consumer(
        [args.records],
        group=args.results,
        group_instance_id="the only one",  # takes the killed one's place at once
        enable_auto_commit=False,
        **settings,
    )
    print(f"counting on {broker.bootstrap_servers}", flush=True)
    while not stopping:
        records = consumer.poll(POLL_S)
        if records is None:
            continue
        with producer.transaction() as transaction:
            for (start_ms, key), count in counts.add(records).items():
                producer.send(args.results, str(count), key=f"{start_ms}/{key}", timestamp=start_ms)
            transaction.commit_offsets(consumer)
    print(f"{counts.late} records came too late")


def make_topic(broker: barnabas.Broker, name: str, **config: str) -> None:
    """Makes a topic, unless it is there."""
    settings = {key.replace("_", "."): value for key, value in config.items()}
    try:
        broker.create_topic(name, partitions=4, config=settings)
    except barnabas.KafkaError as error:
        if error.code.name != "topic_already_exists":
            raise


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("records", help="the topic whose records are counted")
    parser.add_argument("results", help="the topic that gets the counts")
    parser.add_argument("--data-dir", default="./data")
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--window", type=int, metavar="SECONDS", default=60)
    parser.add_argument("--grace", type=int, metavar="SECONDS", default=600)
    args = parser.parse_args()
    try:
        broker = barnabas.Broker(args.data_dir, args.port)
    except barnabas.StartError as error:
        raise SystemExit(str(error)) from None
    with broker:
        make_topic(broker, args.records)
        make_topic(broker, args.results, cleanup_policy="compact,delete")
        run(broker, args)


if __name__ == "__main__":
    main()
