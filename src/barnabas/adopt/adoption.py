"""Whether a data directory is Apache Kafka's, and its adoption: from the plan into the store.

A directory that was adopted stays so: its store knows where Kafka's metadata log ended. When that
has moved, Kafka has run on the directory, what it says now counts, and it must be adopted again.
Everything of an adoption is one commit of the store. Kafka's own files stay as they are, except
that a partition which Kafka was about to take from a `-future` directory gets its name.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from barnabas.adopt.data_dir import (
    METADATA_LOG,
    decode_id,
    metadata_position,
    read_cluster_id,
    read_contents,
)
from barnabas.config.broker_config import BrokerConfig
from barnabas.config.start import META_PROPERTIES, Adopt
from barnabas.errors import StartError
from barnabas.metadata.records import (
    ADOPTED_PATH,
    BROKER_CONFIGS_PREFIX,
    CLUSTER_PATH,
    DELETED_TOPICS_PREFIX,
    LOG_DIRECTORIES_PREFIX,
    PRODUCER_IDS_PATH,
    TOPICS_PREFIX,
    AdoptedRecord,
    encode_config,
)
from barnabas.metadata.sqlite import FILE_NAME
from barnabas.metadata.store import Delete, MetadataStore, Put
from barnabas.state.internal_topics import CLUSTER_METADATA
from barnabas.wording import counted

if TYPE_CHECKING:
    from barnabas.adopt.plan import AdoptionPlan

logger = logging.getLogger(__name__)

KAFKA_NAMES: Final = (METADATA_LOG, "bootstrap.checkpoint")
"""What Apache Kafka leaves in a directory of its own, and Barnabas never does."""
CHECKPOINTS_WITH_CHECKSUMS: Final = (
    "cleaner-offset-checkpoint",
    "log-start-offset-checkpoint",
    "recovery-point-offset-checkpoint",
)
_WHAT_ADOPT_DOES: Final = (
    "barnabas serve --adopt takes it over, in a way that lets Kafka have it back"
)


class Owner(NamedTuple):
    """The broker that is starting, and its directory."""

    data_dir: Path
    cluster_id: str
    node_id: int
    directory_id: str
    config: BrokerConfig
    metadata_dir: Path | None  # where Kafka has its metadata log, unless it is in data_dir


def check_may_open(data_dir: Path, wish: Adopt) -> None:
    """Before anything in the directory is touched. Raises StartError when it is Kafka's, and was
    not and shall not be adopted; or when there is nothing to adopt.
    """
    if data_dir.is_dir() and not os.access(data_dir, os.R_OK | os.X_OK):
        raise StartError(f"data directory {data_dir}: {os.strerror(errno.EACCES)}")
    if wish is Adopt.NO:
        if (name := _kafka_name(data_dir)) and not (data_dir / FILE_NAME).exists():
            raise StartError(
                f'data directory {data_dir} was made by Apache Kafka (it has "{name}"): '
                f"{_WHAT_ADOPT_DOES}; or give Barnabas a directory of its own"
            )
    elif not (data_dir / META_PROPERTIES).exists():
        what = f"it has no {META_PROPERTIES}, so it is none of Apache Kafka's"
        if not data_dir.exists():
            what = "there is none"
        elif inside := sorted(data_dir.glob(f"*/{META_PROPERTIES}")):
            what += f", but {inside[0].parent} may be"
        raise StartError(
            f"data directory {data_dir} cannot be adopted: {what}. --data-dir names the directory "
            "that log.dirs of Kafka's server.properties does"
        )


def adopt(
    store: MetadataStore | None,
    owner: Owner,
    wish: Adopt,
    list_partitions: Callable[[], Collection[tuple[str, int]]],
) -> list[Put | Delete]:
    """What the store has to commit so that the directory is this broker's; nothing when it is.

    `store` is None as long as there is none; `list_partitions` gives those that lie in the
    directory. It is not asked where the store is this broker's, which may have some to be removed.
    Raises StartError when the directory must not be served as it is, or cannot be adopted.
    """
    adopted = stored_adoption(store)
    directory = owner.data_dir
    if adopted is None:
        is_ours = store is not None and store.get(CLUSTER_PATH) is not None
        if not _kafka_name(directory) and (is_ours or not list_partitions()):
            if wish is not Adopt.NO:
                logger.warning("%s has nothing of Apache Kafka's to be adopted", directory)
            return []
        if wish is Adopt.NO:
            topic, number = min(list_partitions(), default=(CLUSTER_METADATA, 0))
            raise StartError(
                f"data directory {directory} has partitions ({topic}-{number}) that no {FILE_NAME} "
                f"knows: if Apache Kafka has made it, or that file is lost, {_WHAT_ADOPT_DOES}"
            )
    elif adopted.metadata_dir is None or adopted.kafka_position == metadata_position(
        directory / adopted.metadata_dir
    ):
        if adopted.metadata_dir is None and wish is not Adopt.NO:
            _forget_checksums(directory)  # nothing tells whether Kafka has run
        for_good = adopted.for_good if wish is Adopt.NO else wish is Adopt.FOR_GOOD
        if for_good == adopted.for_good:
            return []
        changed = adopted._replace(for_good=for_good)
        return [Put(changed.path, changed.encode())]
    elif wish is Adopt.NO:
        raise StartError(
            f"Apache Kafka has run on data directory {directory} since it was adopted, or its "
            "metadata log is gone: --adopt takes over what there is now"
        )
    metadata_dir = _metadata_dir(owner, adopted)
    plan = _make_plan(owner, metadata_dir)
    changes = _clearing(store, plan) if store is not None else []
    changes += _storing(store, owner, plan)
    for warning in plan.warnings:
        logger.warning("%s", warning)
    _promote_futures(directory, plan)
    _forget_checksums(directory)
    record = AdoptedRecord(
        metadata_dir=_shown_metadata_dir(owner, metadata_dir),
        kafka_position=None if metadata_dir is None else metadata_position(metadata_dir),
        for_good=wish is Adopt.FOR_GOOD,
        other_topics=tuple(plan.other_topics),
    )
    return [*changes, Put(record.path, record.encode())]


def stored_adoption(store: MetadataStore | None) -> AdoptedRecord | None:
    """How the directory of a store was adopted; None when it was not."""
    entry = None if store is None else store.get(ADOPTED_PATH)
    return None if entry is None else AdoptedRecord.decode(entry.value)


def _forget_checksums(data_dir: Path) -> None:
    """Kafka has written the checkpoints anew, and what Barnabas once wrote there says nothing."""
    for name in CHECKPOINTS_WITH_CHECKSUMS:
        (data_dir / f"{name}.crc").unlink(missing_ok=True)


def _kafka_name(data_dir: Path) -> str | None:
    return next((name for name in KAFKA_NAMES if (data_dir / name).exists()), None)


def _shown_metadata_dir(owner: Owner, metadata_dir: Path | None) -> str | None:
    """As it is stored: a data directory that has the log itself may be moved."""
    if metadata_dir is None:
        return None
    return "" if metadata_dir == owner.data_dir else str(metadata_dir)


def _metadata_dir(owner: Owner, adopted: AdoptedRecord | None) -> Path | None:
    """The directory with the metadata log, this one or another of the same broker's; None when
    there is none. Raises StartError.
    """
    if (owner.data_dir / METADATA_LOG).is_dir():
        return owner.data_dir
    known = None if adopted is None or not adopted.metadata_dir else Path(adopted.metadata_dir)
    other = owner.metadata_dir or known
    if other is None or not (other / METADATA_LOG).is_dir():
        return None
    if (cluster_id := read_cluster_id(other)) != owner.cluster_id:
        raise StartError(
            f"{other} has the metadata of cluster {cluster_id}, but data directory "
            f"{owner.data_dir} is of cluster {owner.cluster_id}"
        )
    return other.resolve()


def _make_plan(owner: Owner, metadata_dir: Path | None) -> AdoptionPlan:
    # Imported where it is used: most starts adopt nothing.
    from barnabas.adopt.metadata_log import read_cluster_metadata
    from barnabas.adopt.plan import AdoptionPlanner

    directory = owner.data_dir
    contents = read_contents(directory)
    planner = AdoptionPlanner(
        node_id=owner.node_id,
        directory_id=decode_id(owner.directory_id) if owner.directory_id else b"",
        contents=contents,
        config=owner.config,
    )
    if metadata_dir is None:
        plan = planner.from_directories()
        logger.warning(
            "%s has no metadata log of Kafka's: topics are taken from the directories' names, and "
            "nothing of them is deleted or compacted",
            directory,
        )
    else:
        metadata = read_cluster_metadata(metadata_dir / METADATA_LOG)
        plan = planner.from_metadata(metadata.image)
        if metadata.voter_count > 1:
            logger.warning(
                "Kafka's metadata is that of %d controllers: the others may not have agreed to its "
                "last records",
                metadata.voter_count,
            )
    has_topics = any(topic != CLUSTER_METADATA for topic, _ in contents.partitions)
    if plan.other_topics and not plan.topics and not has_topics:
        raise StartError(
            f"data directory {directory} has no partitions of node {owner.node_id}: it is a "
            "controller's, or another directory of the same broker has them"
        )
    logger.info(
        "adopting %s, %s, from Apache Kafka",
        counted(len(plan.topics), "topic"),
        counted(sum(bool(p.replicas) for t in plan.topics for p in t.partitions), "partition"),
    )
    return plan


def _clearing(store: MetadataStore, plan: AdoptionPlan) -> list[Put | Delete]:
    """Takes out what the store has of topics and settings: Kafka's word replaces it."""
    known = {topic.name for topic in plan.topics}
    changes: list[Put | Delete] = []
    replaced = (TOPICS_PREFIX, DELETED_TOPICS_PREFIX, BROKER_CONFIGS_PREFIX)
    for prefix in (*replaced, LOG_DIRECTORIES_PREFIX):  # it is served alone
        for path in store.list(prefix):
            name = path.removeprefix(prefix)
            if prefix == TOPICS_PREFIX and name not in known:
                logger.warning("topic %s is not in Kafka's metadata: not served any more", name)
            changes.append(Delete(path))
    return changes


def _storing(store: MetadataStore | None, owner: Owner, plan: AdoptionPlan) -> list[Put | Delete]:
    changes: list[Put | Delete] = [Put(CLUSTER_PATH, owner.cluster_id.encode())]
    changes += [Put(topic.path, topic.encode()) for topic in plan.topics]
    changes += [
        Put(BROKER_CONFIGS_PREFIX + name, encode_config(config))
        for name, config in plan.broker_configs.items()
    ]
    entry = None if store is None else store.get(PRODUCER_IDS_PATH)
    taken = 0 if entry is None else int(entry.value)
    first = max(taken, plan.first_producer_id)
    return [*changes, Put(PRODUCER_IDS_PATH, str(first).encode())]


def _promote_futures(directory: Path, plan: AdoptionPlan) -> None:
    """What Kafka does at a start: the copy that was moving here is the partition's now."""
    futures = read_contents(directory).futures if plan.promoted else {}
    for topic, number in plan.promoted:
        future = futures[topic, number]
        future.rename(directory / f"{topic}-{number}")
        logger.info("%s is now %s-%d", future, topic, number)
