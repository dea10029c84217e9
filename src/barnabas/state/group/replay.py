"""Rebuilds groups from the records of `__consumer_offsets`."""

from barnabas.state.effects import Producer
from barnabas.state.group.group import Group, GroupState
from barnabas.state.group.member import Member, Protocol
from barnabas.state.group.records import GroupRecord, GroupValue, OffsetRecord, Record

_NOT_STORED = -1


def replay(groups: dict[str, Group], record: Record, producer: Producer | None = None) -> None:
    """Applies one record to `groups`, perhaps of a producer's transaction, which is open then.
    Records must come in the order of the log.
    """
    if isinstance(record, OffsetRecord):
        _replay_offset(groups, record, producer)
    else:
        _replay_group(groups, record)


def _replay_offset(
    groups: dict[str, Group], record: OffsetRecord, producer: Producer | None
) -> None:
    group = groups.get(record.group_id)
    if record.value is not None:
        if group is None:  # a simple group has no record of its own
            group = groups[record.group_id] = Group(record.group_id)
        if producer is None:
            group.offsets.put(record.topic, record.partition, record.value)
        else:
            group.offsets.put_pending(
                producer.producer_id, record.topic, record.partition, record.value
            )
    elif group is not None:
        group.offsets.remove(record.topic, record.partition)


def _replay_group(groups: dict[str, Group], record: GroupRecord) -> None:
    before = groups.pop(record.group_id, None)
    if record.value is not None:
        group = restore(record.group_id, record.value)
    elif before is not None and before.offsets:
        group = Group(record.group_id)
    else:
        return
    if before is not None:
        group.offsets = before.offsets
    groups[record.group_id] = group


def restore(group_id: str, value: GroupValue) -> Group:
    """The group of a stored generation: stable if it has members. No session runs yet."""
    group = Group(group_id, value.state_timestamp_ms)
    group.generation_id = value.generation_id
    group.protocol_name = value.protocol_name
    for stored in value.members:
        is_known = (
            stored.member_id in group.members or stored.group_instance_id in group.static_members
        )
        if is_known or value.protocol_name is None:
            continue  # never written by us or Kafka: a group must not be lost over it
        rebalance_timeout_ms = (
            stored.session_timeout_ms
            if stored.rebalance_timeout_ms == _NOT_STORED
            else stored.rebalance_timeout_ms
        )
        group.add(
            Member(
                member_id=stored.member_id,
                group_instance_id=stored.group_instance_id,
                client_id=stored.client_id,
                client_host=stored.client_host,
                rebalance_timeout_ms=rebalance_timeout_ms,
                session_timeout_ms=stored.session_timeout_ms,
                protocol_type=value.protocol_type,
                protocols=(Protocol(value.protocol_name, stored.subscription),),
                assignment=stored.assignment,
            )
        )
    group.protocol_type = value.protocol_type or None
    if value.leader_id in group.members:
        group.leader_id = value.leader_id
    if group.members:
        group.state = GroupState.STABLE
    group.subscribed_topics = group.compute_subscribed_topics()
    return group
