"""`barnabas consume`: records of a topic to stdout.

Alone, it reads partitions and commits nothing; with --group it is a member, and commits what it has
written out. Without --follow it stops at what was the end when it started.

librdkafka has no consumer without a group id, and looks for that group's coordinator even when it
never uses one; a broker that has had no group yet makes `__consumer_offsets` at that.
"""

import argparse
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from barnabas.cli.cluster import (
    ClusterErrors,
    add_cluster_options,
    await_metadata,
    client_config,
    error_text,
    new_client,
)
from barnabas.cli.consume_span import Span, plan_spans
from barnabas.cli.failure import CommandError
from barnabas.cli.output import warn
from barnabas.cli.parser import (
    add_delimiter_option,
    add_partitions_option,
    nonempty,
    positive_int,
    separator,
)
from barnabas.cli.record_output import Formatter, formatter
from barnabas.cli.times import since_ms

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

_BATCH_RECORDS: Final = 500
_IDLE_POLL_S: Final = 0.2
_TOPIC_LOOK_S: Final = 1.0  # how often to see whether a topic without news is still there
_LOST_CLUSTER_S: Final = 30.0  # how long a bounded read waits for a cluster that went away


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas consume`."""
    parser = subparsers.add_parser(
        "consume",
        help="print records",
        description="Prints the records of a topic: from the beginning to the end, or with "
        "--follow from now on for ever, unless told where to begin.",
        epilog="With --format json, bytes that are not UTF-8 are base64 under key_base64 or "
        "value_base64.\n\n"
        "examples:\n"
        "  barnabas consume events | head -3\n"
        "  barnabas consume events --follow --format json | jq .value\n"
        "  barnabas consume events --since 10m --partition 0\n"
        "  barnabas consume events --group readers --max-messages 100",
    )
    parser.add_argument("topic", type=nonempty, metavar="TOPIC")
    start = parser.add_argument_group("where to begin").add_mutually_exclusive_group()
    start.add_argument("--from-beginning", action="store_true", help="with the first record")
    start.add_argument(
        "--offset", type=_offset, metavar="N", help="at offset N; -N: the last N of each partition"
    )
    start.add_argument(
        "--since",
        type=since_ms,
        metavar="TIME",
        help="at an ISO 8601 time (UTC if it names no zone), or 10m, 2h, PT1H, … ago",
    )
    what = parser.add_argument_group("what to read")
    add_partitions_option(what)
    what.add_argument("-n", "--max-messages", type=positive_int, metavar="N", help="stop after N")
    what.add_argument(
        "-f", "--follow", action="store_true", help="wait for more, as long as there is the topic"
    )
    what.add_argument(
        "-g",
        "--group",
        type=nonempty,
        metavar="GROUP",
        help="read as a member of this group, from what it has committed, and commit",
    )
    how = parser.add_argument_group("output")
    how.add_argument(
        "--format",
        choices=("value", "key-value", "json"),
        default="value",
        help="(default: value)",
    )
    how.add_argument(
        "--key-separator", type=separator, default=b"\t", metavar="TEXT", help="(default: a tab)"
    )
    add_delimiter_option(how)
    how.add_argument(
        "--null", default="null", metavar="TEXT", help="shown for no key, no value (default: null)"
    )
    add_cluster_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the records."""
    from confluent_kafka import Consumer

    if args.group and (args.partitions or args.offset is not None or args.since is not None):
        raise CommandError(
            "a group begins at what it has committed: --partition, --offset and --since "
            "do not go with --group (see barnabas group reset-offsets)"
        )
    if dict(args.properties).get("group.id") == "":  # the client would abort the process
        raise CommandError("bad client property: group.id is empty")
    errors = ClusterErrors()
    properties = {
        "group.id": args.group or "barnabas-cli",
        "enable.auto.commit": bool(args.group),
        "enable.auto.offset.store": False,
        "auto.offset.reset": "latest" if _begins_at_end(args) else "earliest",
        "enable.partition.eof": True,
        "check.crcs": True,
    }
    consumer = new_client(Consumer, client_config(args, errors, properties))
    try:
        topic = await_metadata(consumer, errors, args, args.topic).topics[args.topic]
        if topic.error is not None:
            raise CommandError(f"topic {args.topic}: {error_text(topic.error)}")
        reader = Reader(consumer, errors, args)
        if args.group:
            reader.join_group()
        else:
            missing = set(args.partitions or ()) - set(topic.partitions)
            if missing:
                raise CommandError(f"topic {args.topic} has no partition {min(missing)}")
            reader.assign(sorted(set(args.partitions or topic.partitions)))
        reader.run()
    finally:
        consumer.close()
    return 0


def _begins_at_end(args: argparse.Namespace) -> bool:
    is_told = args.from_beginning or args.offset is not None or args.since is not None
    return args.follow and not is_told


def _offset(text: str) -> int:
    """An argument type."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither an offset nor -N, for the last N of each partition; "
            "--from-beginning begins with the first"
        ) from None


class Reader:
    """Reads until the end, the limit, or for ever, and writes what it reads."""

    def __init__(
        self, consumer: "Consumer", errors: ClusterErrors, args: argparse.Namespace
    ) -> None:
        self._consumer = consumer
        self._errors = errors
        self._args = args
        self._format: Formatter = formatter(
            args.format, args.key_separator, args.delimiter, os.fsencode(args.null)
        )
        self._left = args.max_messages  # None: no limit
        self._open: set[int] | None = None  # partitions not read to the end; None: none assigned
        self._spans: dict[int, Span] = {}
        self._silent_since_s = time.monotonic()
        self._is_lost_told = False
        self._topic_looked_at_s = time.monotonic()
        self._is_topic_missing = False
        self._stdout_gone = select.poll()
        self._stdout_gone.register(sys.stdout.buffer.fileno(), select.POLLERR)

    def join_group(self) -> None:
        """Subscribes as a member of the group."""
        self._consumer.subscribe(
            [self._args.topic], on_assign=self._on_assign, on_revoke=self._on_revoke
        )

    def assign(self, partitions: list[int]) -> None:
        """Reads the partitions from where the options say."""
        from confluent_kafka import TopicPartition

        args = self._args
        self._spans = plan_spans(
            self._consumer, args, partitions, begins_at_end=_begins_at_end(args)
        )
        self._open = {number for number in partitions if args.follow or self._spans[number].holds}
        self._consumer.assign(
            [
                TopicPartition(args.topic, number, self._spans[number].begin)
                for number in sorted(self._open)
            ]
        )

    def run(self) -> None:
        """Returns at the end or the limit."""
        while self._left != 0 and not self._is_at_end():
            messages = self._poll()
            if not messages:
                self._check_idle()
                continue
            records = [message for message in messages if self._is_wanted(message)]
            self._write(records)

    def _is_at_end(self) -> bool:
        return not self._args.follow and self._open is not None and not self._open

    def _poll(self) -> "list[Message]":
        """Whatever is there now, or the next message soon."""
        limit = _BATCH_RECORDS if self._left is None else min(self._left, _BATCH_RECORDS)
        messages = self._consumer.consume(limit, 0)
        if messages:
            return list(messages)
        message = self._consumer.poll(_IDLE_POLL_S)
        return [] if message is None else [message]

    def _is_wanted(self, message: "Message") -> bool:
        """Whether it is a record to print; notes which partitions have ended."""
        from confluent_kafka import KafkaError

        error, number, offset = message.error(), message.partition(), message.offset()
        if error is None and number is not None and offset is not None:
            span = self._spans.get(number)
            if self._args.follow or span is None:
                return True
            if offset >= span.end - 1:
                self._finish(number)
            return offset < span.end
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            self._finish(number)
            return False
        where = "" if number is None or number < 0 else f", partition {number}"
        reason = "a message without an offset" if error is None else error_text(error)
        raise CommandError(f"topic {self._args.topic}{where}: {reason}")

    def _finish(self, number: int | None) -> None:
        if self._open is not None and number is not None:
            self._open.discard(number)

    def _write(self, records: "list[Message]") -> None:
        self._silent_since_s = time.monotonic()
        self._errors.all_down = self._is_lost_told = False
        if not records:
            return
        out = sys.stdout.buffer
        out.write(b"".join(map(self._format, records)))
        out.flush()
        if self._left is not None:
            self._left -= len(records)
        if self._args.group:
            for message in {message.partition(): message for message in records}.values():
                self._consumer.store_offsets(message)

    def _check_idle(self) -> None:
        if self._stdout_gone.poll(0):
            raise BrokenPipeError
        self._check_topic()
        if not self._errors.all_down:
            return
        if not self._is_lost_told:
            self._is_lost_told = True
            warn(f"lost the cluster ({self._errors.last}); still trying")
        lost_s = time.monotonic() - self._silent_since_s
        if not self._args.follow and lost_s > _LOST_CLUSTER_S:
            raise CommandError(f"lost the cluster: {self._errors.last}")

    def _check_topic(self) -> None:
        """librdkafka waits for a topic that was deleted, and says nothing. Raises CommandError."""
        from confluent_kafka import KafkaError, KafkaException

        if time.monotonic() - self._topic_looked_at_s < _TOPIC_LOOK_S:
            return
        name = self._args.topic
        try:
            topic = self._consumer.list_topics(name, timeout=_TOPIC_LOOK_S).topics[name]
        except KafkaException:
            return  # the cluster is silent, which is told elsewhere
        finally:
            self._topic_looked_at_s = time.monotonic()
        was_missing = self._is_topic_missing  # a broker that has just started may not know it yet
        error = topic.error
        self._is_topic_missing = (
            error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
        )
        if was_missing and self._is_topic_missing:
            raise CommandError(f"topic {name} is gone: it was deleted")

    def _on_assign(self, consumer: "Consumer", partitions: "list[TopicPartition]") -> None:
        self._open = {partition.partition for partition in partitions}

    def _on_revoke(self, consumer: "Consumer", partitions: "list[TopicPartition]") -> None:
        self._open = None
