"""What several commands ask a cluster for: topics, offsets, configuration."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from barnabas.cli.cluster import REQUEST_TIMEOUT_S, error_text, result_of
from barnabas.cli.failure import EXIT_FAILURE, CommandError
from barnabas.cli.output import warn
from barnabas.state.internal_topics import INTERNAL_TOPICS

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka.admin import (
        AdminClient,
        ConfigEntry,
        ConfigResource,
        ConsumerGroupDescription,
    )

Partition = tuple[str, int]


def topic_names(admin: "AdminClient", with_internal: bool) -> list[str]:
    """The names of the cluster's topics, sorted."""
    names = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    return sorted(name for name in names if with_internal or name not in INTERNAL_TOPICS)


def partition_counts(admin: "AdminClient", topics: Iterable[str]) -> dict[str, int]:
    """Topic to its number of partitions; topics that do not exist are left out."""
    known = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    return {name: len(known[name].partitions) for name in topics if name in known}


def end_offsets(admin: "AdminClient", partitions: Iterable[Partition]) -> dict[Partition, int]:
    """The offset after the last record that can be read, per partition."""
    from confluent_kafka.admin import OffsetSpec

    return _offsets(admin, dict.fromkeys(partitions, OffsetSpec.latest()))


def start_offsets(admin: "AdminClient", partitions: Iterable[Partition]) -> dict[Partition, int]:
    """The offset of the first record, per partition."""
    from confluent_kafka.admin import OffsetSpec

    return _offsets(admin, dict.fromkeys(partitions, OffsetSpec.earliest()))


def offsets_at(
    admin: "AdminClient", partitions: Iterable[Partition], timestamp_ms: int
) -> dict[Partition, int]:
    """The offset of the first record at or after the time; the end where there is none."""
    from confluent_kafka.admin import OffsetSpec

    wanted = list(partitions)
    found = _offsets(admin, dict.fromkeys(wanted, OffsetSpec.for_timestamp(timestamp_ms)))
    missing = [partition for partition in wanted if found[partition] < 0]
    return {**found, **end_offsets(admin, missing)}


def _offsets(admin: "AdminClient", specs: Mapping[Partition, Any]) -> dict[Partition, int]:
    from confluent_kafka import TopicPartition

    if not specs:
        return {}
    asked = {TopicPartition(topic, number): spec for (topic, number), spec in specs.items()}
    futures = admin.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_S)
    return {
        (at.topic, at.partition): result_of(
            future, f"offsets of {at.topic}, partition {at.partition}"
        ).offset
        for at, future in futures.items()
    }


def describe_config(
    admin: "AdminClient", resource: "ConfigResource", what: str
) -> dict[str, "ConfigEntry"]:
    """The configuration of a topic or broker by key."""
    future = admin.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_S)[resource]
    entries: dict[str, ConfigEntry] = result_of(future, what)
    return dict(sorted(entries.items()))


def alter_config(
    admin: "AdminClient", resource: "ConfigResource", changes: Mapping[str, str | None], what: str
) -> None:
    """Sets keys, or deletes those whose new value is None, so that the default holds again."""
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

    for key, value in changes.items():
        operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        resource.add_incremental_config(
            ConfigEntry(key, value or "", incremental_operation=operation)
        )
    futures = admin.incremental_alter_configs([resource], request_timeout=REQUEST_TIMEOUT_S)
    result_of(futures[resource], what)


def report_each(
    futures: "Mapping[str, Future[object]]",
    failed: str,
    done: str,
    accepted: Mapping[int, str] | None = None,
) -> int:
    """Says of each name what became of it; returns the exit code.

    `failed` and `done` are formats with one `{}`, the name; so are those of `accepted`, for error
    codes that are no failure.
    """
    from confluent_kafka import KafkaException

    exit_code = 0
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            harmless = (accepted or {}).get(error.args[0].code())
            if harmless is not None:
                print(harmless.format(name))
                continue
            warn(f"{failed.format(name)}: {error_text(error)}")
            exit_code = EXIT_FAILURE
        else:
            print(done.format(name))
    return exit_code


def changes_of(
    settings: Iterable[tuple[str, str]], deletions: Iterable[str]
) -> dict[str, str | None]:
    """The two options of a change of configuration as one; a key may only be in one of them."""
    changes: dict[str, str | None] = dict(settings)
    for key in deletions:
        if key in changes:
            raise CommandError(f"{key} is both set and deleted")
        changes[key] = None
    return changes


def describe_groups(
    admin: "AdminClient", groups: list[str]
) -> "dict[str, ConsumerGroupDescription | None]":
    """The groups by name; None for one that does not exist."""
    from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException

    futures = admin.describe_consumer_groups(groups, request_timeout=REQUEST_TIMEOUT_S)
    found: dict[str, ConsumerGroupDescription | None] = {}
    for name, future in futures.items():
        try:
            description = future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise CommandError(f"group {name}: {error_text(error)}") from None
            found[name] = None
        else:
            is_dead = description.state == ConsumerGroupState.DEAD
            found[name] = None if is_dead else description
    return found


def committed_offsets(admin: "AdminClient", group: str) -> dict[Partition, int]:
    """What the group has committed."""
    from confluent_kafka import ConsumerGroupTopicPartitions

    futures = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group)], request_timeout=REQUEST_TIMEOUT_S
    )
    listed = result_of(futures[group], f"offsets of group {group}").topic_partitions
    return {(at.topic, at.partition): at.offset for at in listed if at.offset >= 0}
