"""`barnabas produce`: records from files or stdin into a topic.

Records are handed to librdkafka, which batches and retries; it reports only what could not be
delivered. Each such record is counted, and one is enough for exit code 1.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from barnabas.cli.cluster import (
    ClusterErrors,
    add_cluster_options,
    await_metadata,
    client_config,
    error_text,
    new_client,
)
from barnabas.cli.failure import EXIT_FAILURE, EXIT_INTERRUPTED, CommandError
from barnabas.cli.output import add_json_option, human_bytes, print_json, warn
from barnabas.cli.parser import (
    add_delimiter_option,
    header,
    natural_int,
    nonempty,
    separator,
)
from barnabas.cli.progress import Progress
from barnabas.cli.record_input import (
    JSON_FORMAT,
    STDIN,
    LineFormat,
    Located,
    location,
    read_lines,
    read_whole,
    total_bytes,
)
from barnabas.cli.record_json import Headers, InputRecord
from barnabas.wording import counted

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

_CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_POLL_EVERY: Final = 1000  # records between two looks at delivery reports
_SHOWN_FAILURES: Final = 5  # further ones are only counted
_INTERRUPT_FLUSH_S: Final = 5.0
_BY_KEY: Final = -1  # librdkafka's, for a record of no partition
_NOW: Final = 0  # librdkafka's, for a record of no timestamp
_TOPIC_WAIT_S: Final = 2.0  # for a topic that the broker makes on first use
_DEFAULTS: Final = {
    "allow.auto.create.topics": True,  # asking for the topic makes it, if the broker does that
    "delivery.report.only.error": True,
    "delivery.timeout.ms": 120_000,
    "partitioner": "murmur2_random",  # the Java client's: one key, one partition, whoever sends it
    "queue.buffering.max.kbytes": 64 << 10,
}


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas produce`."""
    parser = subparsers.add_parser(
        "produce",
        help="send records from files or stdin",
        description="Sends records from files, or from stdin, to a topic: a value a line, or with "
        "--key-separator a key and a value, or JSON lines, or whole files.",
        epilog="JSON lines look like what `barnabas consume --format json` prints:\n"
        '  {"key": "k", "value": "v", "headers": [{"key": "h", "value": "x"}]}\n'
        "Bytes that are not UTF-8 are base64, as key_base64 or value_base64; null is null.\n"
        "A timestamp of 0 is sent as 1, because the client takes 0 for now.\n\n"
        "examples:\n"
        "  barnabas produce book moby-dick.txt\n"
        "  echo 'k1:hello' | barnabas produce events --key-separator :\n"
        "  barnabas produce events --format json --compression zstd <records.jsonl",
    )
    parser.add_argument("topic", type=nonempty, metavar="TOPIC")
    parser.add_argument("files", nargs="*", metavar="FILE", help="(default: stdin, also as `-`)")
    what = parser.add_argument_group("records")
    what.add_argument(
        "--format",
        choices=("lines", "json", "whole"),
        default="lines",
        help="a record a line, a JSON object a line, or a record a file (default: lines)",
    )
    what.add_argument(
        "--key-separator",
        type=separator,
        metavar="TEXT",
        help="what ends the key in a line; \\t, \\0 and \\xNN are understood",
    )
    add_delimiter_option(what)
    what.add_argument("--key", metavar="TEXT", help="the key of records that have none")
    what.add_argument(
        "--header",
        dest="headers",
        type=header,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="add a header to every record; repeatable",
    )
    which = what.add_mutually_exclusive_group()
    which.add_argument("--partition", type=natural_int, metavar="N", help="send to this partition")
    which.add_argument(
        "--keep-partitions",
        action="store_true",
        help="send JSON records to the partitions that they name; else the key decides",
    )
    how = parser.add_argument_group("delivery")
    how.add_argument("--compression", choices=_CODECS, default="none", help="(default: none)")
    how.add_argument(
        "--acks", choices=("0", "1", "all"), default="all", help="who has to have it (default: all)"
    )
    how.add_argument(
        "--no-idempotence",
        action="store_true",
        help="allow duplicates when a send is retried; always so unless --acks is all",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    add_json_option(parser)
    add_cluster_options(parser)
    parser.set_defaults(run=run)


@dataclass
class Delivery:
    """What became of the records so far."""

    read: int = 0
    read_bytes: int = 0
    failed: int = 0
    first_failure: str = ""
    begin_s: float = field(default_factory=time.monotonic)

    def report(self, error: "KafkaError | None", message: "Message") -> None:
        """Is called by the client with each record that it could not deliver."""
        if error is not None:
            self.fail(error_text(error))

    def fail(self, reason: str) -> None:
        """Counts one record as lost."""
        self.failed += 1
        self.first_failure = self.first_failure or reason

    def summary(self, topic: str, undelivered: int) -> dict[str, object]:
        """As --json prints it."""
        return {
            "topic": topic,
            "delivered": self.read - self.failed - undelivered,
            "failed": self.failed,
            "undelivered": undelivered,
            "input_bytes": self.read_bytes,
            "seconds": round(time.monotonic() - self.begin_s, 3),
        }


def run(args: argparse.Namespace) -> int:
    """Sends the records; 0 when all were delivered."""
    from confluent_kafka import Producer

    if args.key_separator is not None and args.format != "lines":
        raise CommandError(f"--key-separator has no meaning with --format {args.format}")
    if args.keep_partitions and args.format != "json":
        raise CommandError(f"--keep-partitions has no meaning with --format {args.format}")
    names = args.files or [STDIN]
    delivery = Delivery()
    errors = ClusterErrors()
    producer = new_client(Producer, client_config(args, errors, _properties(args, delivery)))
    records = _records(args, names)
    is_new = args.topic not in await_metadata(producer, errors, args).topics
    if names == [STDIN] and sys.stdin.isatty() and not args.quiet:
        print("type records, one a line; Ctrl-D ends", file=sys.stderr)
    first = next(records, None) if is_new else None  # what is no record must not make a topic
    if first is not None:
        records = chain([first], records)
    if first is not None or not is_new:
        _await_topic(producer, errors, args)
    elif not args.quiet:
        warn(f"no records: topic {args.topic} was not made")
    failure: CommandError | None = None
    is_interrupted = False
    shown = not args.quiet and not (STDIN in names and sys.stdin.isatty())
    with Progress(f"producing to {args.topic}", total_bytes(names), shown) as progress:
        try:
            _send_all(producer, args, records, delivery, progress)
            _flush(producer, errors)
        except CommandError as error:  # bad input: what was read before it is still delivered
            failure = error
            _flush(producer, errors)
        except KeyboardInterrupt:
            is_interrupted = True
            producer.flush(_INTERRUPT_FLUSH_S)
    undelivered = len(producer)
    producer.purge()
    _print_summary(args, delivery, undelivered)
    if failure is not None:
        raise failure
    if is_interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILURE if delivery.failed or undelivered else 0


def _properties(args: argparse.Namespace, delivery: Delivery) -> dict[str, Any]:
    return {
        **_DEFAULTS,
        "on_delivery": delivery.report,
        "compression.type": args.compression,
        "acks": args.acks,
        "enable.idempotence": args.acks == "all" and not args.no_idempotence,
    }


def _await_topic(producer: "Producer", errors: ClusterErrors, args: argparse.Namespace) -> None:
    """Waits until the topic is there; asking for it makes it where the broker does that."""
    from confluent_kafka import KafkaError

    deadline = time.monotonic() + _TOPIC_WAIT_S
    while True:
        topic = await_metadata(producer, errors, args, args.topic).topics[args.topic]
        if topic.error is None:
            break
        is_missing = topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
        may_come = is_missing or topic.error.retriable()
        if not may_come or time.monotonic() > deadline:
            hint = f"; `barnabas topic create {args.topic}` makes it" if is_missing else ""
            raise CommandError(f"topic {args.topic}: {error_text(topic.error)}{hint}")
        producer.poll(0.1)
    if args.partition is not None and args.partition not in topic.partitions:
        raise CommandError(f"topic {args.topic} has no partition {args.partition}")


def _records(args: argparse.Namespace, names: list[str]) -> Iterator[Located]:
    if args.format == "whole":
        return read_whole(names)
    parse = JSON_FORMAT if args.format == "json" else LineFormat(args.key_separator)
    return read_lines(names, parse, args.delimiter)


def _send_all(
    producer: "Producer",
    args: argparse.Namespace,
    records: Iterator[Located],
    delivery: Delivery,
    progress: Progress,
) -> None:
    """Hands every record to the client, waiting while its queue is full."""
    from confluent_kafka import KafkaError, KafkaException

    key = None if args.key is None else os.fsencode(args.key)
    headers: Headers = args.headers
    for name, number, size_bytes, record in records:
        delivery.read += 1
        delivery.read_bytes += size_bytes
        while True:
            try:
                producer.produce(
                    args.topic,
                    record.value,
                    key if record.key is None else record.key,
                    _partition(args, record),
                    timestamp=_timestamp(record),
                    headers=[*headers, *(record.headers or ())],
                )
                break
            except BufferError:
                producer.poll(0.1)
                progress.update(delivery.read, delivery.read_bytes)
            except KafkaException as error:
                if error.args[0].fatal() or error.args[0].code() == KafkaError._FATAL:
                    raise
                delivery.fail(error_text(error))
                if delivery.failed <= _SHOWN_FAILURES:
                    warn(f"{location(name, number)}: {error_text(error)}")
                break
        if delivery.read % _POLL_EVERY == 0:
            producer.poll(0)
        progress.update(delivery.read, delivery.read_bytes)


def _partition(args: argparse.Namespace, record: InputRecord) -> int:
    if args.partition is not None:
        return int(args.partition)
    kept = record.partition if args.keep_partitions else None
    return _BY_KEY if kept is None else kept


def _timestamp(record: InputRecord) -> int:
    """As librdkafka takes it: its 0 means now, so that a record's 0 has to be 1."""
    return _NOW if record.timestamp_ms is None else max(1, record.timestamp_ms)


def _flush(producer: "Producer", errors: ClusterErrors) -> None:
    """Waits until every record is delivered or given up."""
    is_told = False
    while producer.flush(0.5):
        if errors.all_down and not is_told:
            warn(f"lost the cluster ({errors.last}); still trying to deliver, Ctrl-C gives up")
            is_told = True


def _print_summary(args: argparse.Namespace, delivery: Delivery, undelivered: int) -> None:
    summary = delivery.summary(args.topic, undelivered)
    if args.json:
        print_json(summary)
    elif delivery.read and not args.quiet:
        delivered = delivery.read - delivery.failed - undelivered
        seconds = time.monotonic() - delivery.begin_s
        print(
            f"produced {counted(delivered, 'record')} "
            f"({human_bytes(delivery.read_bytes)} of input) to {args.topic} in {seconds:.1f} s",
            file=sys.stderr,
        )
    if delivery.failed:
        warn(f"{counted(delivery.failed, 'record')} not delivered: {delivery.first_failure}")
    if undelivered:
        warn(f"{counted(undelivered, 'record')} given up, perhaps delivered")
