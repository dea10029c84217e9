"""The store of metadata: small documents under paths, with versions. Imports nothing of ours.

A path names a document ("/topics/orders"). Every change of a document raises its version by one,
from 0 at creation. Changes are committed many at a time, each on condition of a version, and all
of them or none. That is what both SQLite and ZooKeeper can promise.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

ABSENT: Final = -1
"""As an expected version: the document must not exist."""
ANY_VERSION: Final = None
"""As an expected version: whatever is there, if anything, is replaced."""


class Entry(NamedTuple):
    """A document as stored."""

    value: bytes
    version: int


class Put(NamedTuple):
    """Creates or replaces a document."""

    path: str
    value: bytes
    expected_version: int | None = ANY_VERSION


class Delete(NamedTuple):
    """Removes a document. One that is not there is a conflict only with an expected version."""

    path: str
    expected_version: int | None = ANY_VERSION


Change = Put | Delete


class StoreError(Exception):
    """The store cannot be read or written; the message is one line for the user."""


class VersionConflict(StoreError):
    """A document was not in the version expected; nothing has been changed."""

    def __init__(self, path: str, expected: int | None, actual: int) -> None:
        super().__init__(f"{path} is in version {actual}, expected was {expected}")
        self.path = path
        self.expected = expected
        self.actual = actual


class MetadataStore(Protocol):
    """Versioned documents. Safe to use from several threads; every method may wait for a disk."""

    def get(self, path: str) -> Entry | None:
        """The document of a path."""

    def list(self, prefix: str) -> Mapping[str, Entry]:
        """The documents whose paths start with `prefix`."""

    def commit(self, changes: Sequence[Change]) -> None:
        """Makes all changes or none; they are durable at return.

        Raises StoreError: VersionConflict, or another when the store fails.
        """

    def close(self) -> None:
        """Ends the use of the store."""
