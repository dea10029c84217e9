"""Which offsets `consume` reads of a partition."""

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from barnabas.cli.cluster import REQUEST_TIMEOUT_S
from barnabas.cli.failure import CommandError

if TYPE_CHECKING:
    from confluent_kafka import Consumer


@dataclass(frozen=True)
class Span:
    """From `begin` to before `end`, which was the partition's end when the command started."""

    begin: int
    end: int

    @property
    def holds(self) -> bool:
        """Whether there is an offset in it."""
        return self.begin < self.end


def plan_spans(
    consumer: "Consumer", args: argparse.Namespace, partitions: list[int], begins_at_end: bool
) -> dict[int, Span]:
    """The span of each partition, as the options of the command say."""
    from confluent_kafka import TopicPartition

    spans = {}
    refused = []
    for number in partitions:
        at = TopicPartition(args.topic, number)
        low, high = consumer.get_watermark_offsets(at, timeout=REQUEST_TIMEOUT_S)
        begin = high if begins_at_end else low
        if args.offset is not None:
            begin = args.offset if args.offset >= 0 else max(low, high + args.offset)
            if not low <= begin <= high:
                refused.append(
                    f"topic {args.topic}, partition {number} holds offsets {low} to {high}, "
                    f"not {begin}"
                )
            begin = min(max(begin, low), high)
        spans[number] = Span(begin, high)
    if len(refused) == len(partitions):
        raise CommandError(
            refused[0]
            if len(refused) == 1
            else f"no partition of topic {args.topic} holds offset {args.offset}"
        )
    if args.since is None:
        return spans
    wanted = [TopicPartition(args.topic, number, args.since) for number in partitions]
    for found in consumer.offsets_for_times(wanted, timeout=REQUEST_TIMEOUT_S):
        end = spans[found.partition].end
        # Below zero: no record is that late.
        spans[found.partition] = Span(found.offset if found.offset >= 0 else end, end)
    return spans
