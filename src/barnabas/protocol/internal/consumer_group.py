"""Keys of the KIP-848 consumer groups' records in `__consumer_offsets`; we write none of them."""

from dataclasses import dataclass, field
from typing import ClassVar

from kio.static.constants import EntityType
from kio.static.primitive import i16


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """The key of the records that are one a group (key versions 3, 4 and 6)."""

    __type__: ClassVar = EntityType.data
    __version__: ClassVar[i16] = i16(3)
    __flexible__: ClassVar[bool] = False
    group_id: str = field(metadata={"kafka_type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMemberKey:
    """The key of the records that are one a member (key versions 5, 7 and 8)."""

    __type__: ClassVar = EntityType.data
    __version__: ClassVar[i16] = i16(5)
    __flexible__: ClassVar[bool] = False
    group_id: str = field(metadata={"kafka_type": "string"})
    member_id: str = field(metadata={"kafka_type": "string"})
