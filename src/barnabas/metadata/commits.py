"""Commits to the store, for services of the broker loop. Imports the store and errors."""

import logging
from collections.abc import Iterable

from kio.schema.errors import ErrorCode

from barnabas.disk_calls import STORE, DiskCalls
from barnabas.errors import KafkaError
from barnabas.metadata.store import Change, MetadataStore, StoreError

logger = logging.getLogger(__name__)


async def commit(store: MetadataStore, disk_calls: DiskCalls, changes: Iterable[Change]) -> None:
    """Makes all changes or none. Raises KafkaError, KAFKA_STORAGE_ERROR with the store's text."""
    changes = list(changes)
    try:
        await disk_calls.run(STORE, store.commit, changes)
    except StoreError as error:
        logger.error("cannot store metadata: %s", error)
        raise KafkaError(ErrorCode.kafka_storage_error, str(error)) from error
