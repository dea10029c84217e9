"""At a start: makes what lies in the log directories agree with the store, which counts."""

import logging
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from barnabas._core import CoreError
from barnabas.errors import StartError
from barnabas.metadata.catalog import Catalog
from barnabas.metadata.records import DELETED_TOPICS_PREFIX, Tombstone
from barnabas.metadata.store import Delete, MetadataStore

if TYPE_CHECKING:
    from barnabas._core import Core

logger = logging.getLogger(__name__)


def reconcile(core: "Core", store: MetadataStore, catalog: Catalog, *, is_adopted: bool) -> None:
    """A deletion that a crash has cut short is finished; a directory that the store knows nothing
    of, or that is of another topic than the one which has its name now, is set aside, for it may
    hold somebody's data; in an adopted directory it is left to Kafka. What fails is tried again at
    the next start. Raises StartError when a partition is there twice.
    """
    unfinished = _finish_deletions(core, store, catalog)
    known = {(t.name, p.partition): t.topic_id for t in catalog for p in t.partitions if p.replicas}
    for name, found in groupby(core.list_partition_directories(), key=itemgetter(0, 1)):
        topic, partition = name
        places = {directory: topic_id for _, _, directory, topic_id in found}
        strays: Sequence[str] = list(places)
        if (topic_id := known.get(name)) is not None:
            strays = _others(f"{topic}-{partition}", topic_id, places)
        if topic in unfinished or is_adopted:
            continue
        for directory in strays:
            _set_aside(core, directory, topic, partition)


def _others(name: str, topic_id: bytes, places: Mapping[str, bytes | None]) -> Sequence[str]:
    """Those of a partition's directories that are not the partition's."""
    own = [directory for directory, found in places.items() if found == topic_id]
    # One that does not say whose it is counts when there is no other.
    own = own or [directory for directory, found in places.items() if found is None]
    if len(own) > 1:
        raise StartError(
            f"Duplicate log directories for {name} are found in both {own[0]}/{name} and "
            f"{own[1]}/{name}. Delete one of the two: that of the directory which is known to have "
            "failed recently"
        )
    return [directory for directory in places if own and directory not in own]


def _set_aside(core: "Core", directory: str, topic: str, partition: int) -> None:
    name = f"{topic}-{partition}"
    try:
        kept_as = core.set_aside_directory(directory, topic, partition)
    except CoreError as error:
        # Somebody has to look at it, but nobody else shall be kept from being served.
        logger.error("%s/%s cannot be set aside: %s", directory, name, error)
    else:
        logger.warning("%s is no partition of this broker: kept as %s", name, kept_as)


def _finish_deletions(core: "Core", store: MetadataStore, catalog: Catalog) -> set[str]:
    """Removes what there still is of deleted topics; returns the names of those of which something
    is in the way.

    A directory that is offline may have some and come back with a later start, as that of a topic
    which is made anew under the name meanwhile: until all are online tombstones stay.
    """
    tombstones = [
        Tombstone.decode(path, entry.value)
        for path, entry in store.list(DELETED_TOPICS_PREFIX).items()
    ]
    names = {topic.name for topic in catalog}
    failures = core.finish_deletions(
        [(t.name, t.topic_id, t.partition_count, t.name in names) for t in tombstones]
    )
    for _, why in failures:
        logger.error("what is left of a deleted topic cannot be removed: %s", why)
    failed = {topic_id for topic_id, _ in failures}
    if all(is_online for _, is_online in core.directory_states()):
        gone = [tombstone for tombstone in tombstones if tombstone.topic_id not in failed]
        if gone:
            store.commit([Delete(tombstone.path) for tombstone in gone])
    return {tombstone.name for tombstone in tombstones if tombstone.topic_id in failed}
