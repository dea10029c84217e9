"""Ships the lines of a growing log file to a topic.

    python ship_log.py /var/log/app.log app-logs

The position is kept in a file beside the log (`app.log.shipped`), and moves once the broker has
acknowledged the lines: after a crash a few lines may be sent twice, none is lost. When the log is
rotated (renamed, a new one made) the old one is read to its end first.
"""

import argparse
import json
import os
import signal
import socket
import time
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

POLL_S = 0.2
BATCH_LINES = 1000


class Shipper:
    """Follows one file; `ship` sends what is new."""

    def __init__(self, producer: Producer, path: Path, topic: str) -> None:
        self._producer = producer
        self._path = path
        self._topic = topic
        self._marker = path.with_name(path.name + ".shipped")
        self._failed: KafkaError | None = None
        self._file = path.open("rb")
        self._resume()

    def ship(self) -> int:
        """Sends the whole lines there are, at most BATCH_LINES; how many."""
        position = self._file.tell()
        count = 0
        while count < BATCH_LINES:
            line = self._file.readline()
            if not line.endswith(b"\n"):  # the end, or a line that is still being written
                break
            position += len(line)
            count += 1
            self._producer.produce(
                self._topic, line[:-1], key=socket.gethostname(), on_delivery=self._delivered
            )
        self._file.seek(position)
        if count:
            self._producer.flush()
            if self._failed is not None:
                raise SystemExit(f"not acknowledged: {self._failed.str()}")
            self._remember(position)
        elif self._is_rotated():
            self._file.close()
            self._file = self._path.open("rb")
        return count

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._failed = self._failed or error

    def _is_rotated(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode()
        except FileNotFoundError:  # the new one is not there yet
            return False

    def _inode(self) -> int:
        return os.fstat(self._file.fileno()).st_ino

    def _resume(self) -> None:
        if self._marker.exists():
            kept = json.loads(self._marker.read_text())
            if kept["inode"] == self._inode():
                self._file.seek(kept["position"])

    def _remember(self, position: int) -> None:
        new = self._marker.with_suffix(".new")
        new.write_text(json.dumps({"inode": self._inode(), "position": position}))
        new.replace(self._marker)


def main() -> None:
    """Ships until SIGTERM or Ctrl-C, or to the end of the file with --once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("topic")
    parser.add_argument("-b", "--bootstrap-server", default="127.0.0.1:9092")
    parser.add_argument("--once", action="store_true", help="stop at the end of the file")
    args = parser.parse_args()
    if not args.file.is_file():
        parser.error(f"{args.file} is not a file")
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    producer = Producer(
        {
            "bootstrap.servers": args.bootstrap_server,
            "enable.idempotence": True,  # retries make no duplicates and keep the order
            "compression.type": "lz4",
        }
    )
    shipper = Shipper(producer, args.file, args.topic)
    shipped = 0
    while not stopping:
        count = shipper.ship()
        shipped += count
        if count == 0:
            if args.once:
                break
            time.sleep(POLL_S)
    print(f"{shipped} lines shipped")


if __name__ == "__main__":
    main()
