"""A transactional outbox: what an application writes to its database becomes records, each once.

    python outbox.py order shop.db anna "two apples"    # the application: an order and its event
    python outbox.py relay shop.db                      # sends the events, until it is stopped

An order and its event, a row of the table `outbox`, are written in one transaction of SQLite's:
there is never one without the other. Rows are sent in the order of their ids, which is that of the
commits, because SQLite has one writer at a time.

One transaction of Kafka's holds a batch of records and the id of the last row, as an offset that a
group commits. A relay that was killed goes on behind that row, so readers with
`isolation.level=read_committed` see each event once. A relay that starts fences the one before.
The position is kept as long as Kafka keeps a group's offsets (`offsets.retention.minutes`).
"""

import argparse
import json
import signal
import sqlite3
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

POLL_S = 0.1
BATCH_ROWS = 500
TIMEOUT_S = 30
SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, goods TEXT);
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- no id comes twice, not even of a row that is gone
    topic TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL
);
"""
Row = tuple[int, str, str, str]


def order(args: argparse.Namespace) -> None:
    """Takes an order."""
    db = open_database(args)
    with db:  # both, or neither
        insert = "INSERT INTO orders (customer, goods) VALUES (?, ?)"
        number = db.execute(insert, (args.customer, args.goods)).lastrowid
        event = json.dumps({"order": number, "customer": args.customer, "goods": args.goods})
        insert = "INSERT INTO outbox (topic, key, value) VALUES (?, ?, ?)"
        db.execute(insert, (args.topic, args.customer, event))
    print(number)


class Relay:
    """Sends the rows of an outbox. Of those with one name the last one counts."""

    def __init__(self, db: sqlite3.Connection, servers: str, name: str) -> None:
        self._db = db
        self._marker = f"{name}.position"  # a topic without records: the group's offset is of it
        make_topic(servers, self._marker)
        settings = {"group.id": name, "isolation.level": "read_committed"}
        self._group = Consumer({"bootstrap.servers": servers, **settings})
        self._producer = Producer({"bootstrap.servers": servers, "transactional.id": name})
        self._producer.init_transactions(TIMEOUT_S)  # what a killed relay has left open is over
        (found,) = self._group.committed([TopicPartition(self._marker, 0)], TIMEOUT_S)
        self._sent = max(found.offset, 0)
        self._delete_sent()

    def relay(self) -> int:
        """Sends the next rows; how many."""
        select = "SELECT id, topic, key, value FROM outbox WHERE id > ? ORDER BY id LIMIT ?"
        rows: list[Row] = self._db.execute(select, (self._sent, BATCH_ROWS)).fetchall()
        if not rows:
            return 0
        try:
            self._send(rows)
        except KafkaException as failure:
            error = failure.args[0]
            if not error.txn_requires_abort():
                raise SystemExit(f"the next relay goes on: {error.str()}") from None
            self._producer.abort_transaction(TIMEOUT_S)
            return 0
        self._sent = rows[-1][0]
        self._delete_sent()
        return len(rows)

    def _send(self, rows: list[Row]) -> None:
        self._producer.begin_transaction()
        for _, topic, key, value in rows:
            self._producer.produce(topic, value, key=key)
        position = [TopicPartition(self._marker, 0, rows[-1][0])]
        metadata = self._group.consumer_group_metadata()
        self._producer.send_offsets_to_transaction(position, metadata, TIMEOUT_S)
        self._producer.commit_transaction(TIMEOUT_S)

    def _delete_sent(self) -> None:
        with self._db:
            self._db.execute("DELETE FROM outbox WHERE id <= ?", (self._sent,))


def relay(args: argparse.Namespace) -> None:
    """Sends events until SIGTERM or Ctrl-C, or until there are no more with --once."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    outbox = Relay(open_database(args), args.bootstrap_server, args.name)
    print("ready", flush=True)
    sent = 0
    while not stopping:
        count = outbox.relay()
        sent += count
        if count == 0:
            if args.once:
                break
            time.sleep(POLL_S)
    print(f"{sent} events sent")


def open_database(args: argparse.Namespace) -> sqlite3.Connection:
    """The application's, with its tables."""
    try:
        db = sqlite3.connect(args.database, timeout=TIMEOUT_S)
        db.executescript(SCHEMA)
    except sqlite3.Error as error:
        raise SystemExit(f"{args.database}: {error}") from None
    return db


def make_topic(servers: str, name: str) -> None:
    """Makes a topic of one partition, unless it is there."""
    admin = AdminClient({"bootstrap.servers": servers})
    try:
        admin.create_topics([NewTopic(name, 1)])[name].result(TIMEOUT_S)
    except KafkaException as failure:
        if failure.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    actions = parser.add_subparsers(required=True)
    for action in (order, relay):
        command = actions.add_parser(action.__name__, help=action.__doc__)
        command.set_defaults(run=action)
        command.add_argument("database")
        if action is order:
            command.add_argument("customer")
            command.add_argument("goods")
            command.add_argument("--topic", default="orders")
        else:
            command.add_argument("-b", "--bootstrap-server", default="127.0.0.1:9092")
            command.add_argument("--name", default="outbox", help="transactional id and group")
            command.add_argument("--once", action="store_true", help="stop when all is sent")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
