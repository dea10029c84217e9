"""Committed offsets: who may commit, what survives, what expires."""

from barnabas.state.effects import CANNOT_BE_STORED
from barnabas.state.group.config import GroupConfig
from unit.state.group.transcript import Transcript

STABLE_MEMBER = """
    0     a join v0
    3000  => a leads 1 range a-1
    3000  a sync a=P0              => a synced P0
"""

# ConsumerProtocolSubscription version 0 for the topic "t".
SUBSCRIBED_TO_T = "\x00\x00\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x00"


def stable_member(**settings: int) -> Transcript:
    script = Transcript(GroupConfig(**settings))
    script.run(STABLE_MEMBER)
    return script


def consumer_of_t(**settings: int) -> Transcript:
    script = Transcript(GroupConfig(**settings))
    script.run(f"""
        0     a join v0 type=consumer protocols=range:{SUBSCRIBED_TO_T}
        3000  => a leads 1 range a-1
        3000  a sync a=P0              => a synced P0
    """)
    return script


def test_member_commits_in_its_generation() -> None:
    script = stable_member()
    script.run("""
        4000  a commit t/0=5 u/3=7     => a ok
        4000  a commit t/0=9           => a ok
        4000  offsets?                 => offsets t/0=9 u/3=7
    """)


def test_stale_generation_and_strangers_may_not_commit() -> None:
    script = stable_member()
    script.run("""
        4000  a commit t/0=5 generation=0  => a commit: illegal_generation
        4000  b commit t/0=5 generation=1  => b commit: unknown_member_id
        4000  b commit t/0=5               => b commit: unknown_member_id
        4000  offsets?                     => offsets
    """)


def test_commit_between_join_and_sync_is_told_to_wait() -> None:
    Transcript().run("""
        0     a join v0
        3000  => a leads 1 range a-1
        3000  a commit t/0=5           => a commit: rebalance_in_progress
    """)


def test_commit_before_rejoining_is_taken() -> None:
    script = stable_member()
    script.run("""
        4000  b join v0
        4000  a commit t/0=5           => a ok
    """)


def test_commit_keeps_the_session_alive() -> None:
    script = stable_member()
    script.run("""
        12000 a commit t/0=5           => a ok
        21999 group?                   => Stable 1 members=a-1
        22000 group?                   => Empty 2 members=
    """)


def test_consumer_without_a_group_commits_to_an_empty_one() -> None:
    Transcript().run("""
        0     x commit t/0=5           => x ok
        0     group?                   => Empty 0 members=
        0     offsets?                 => offsets t/0=5
    """)


def test_commit_with_a_generation_to_an_unknown_group_is_refused() -> None:
    Transcript().run("""
        0     x commit t/0=5 generation=1     => x commit: group_id_not_found
        0     x commit v8 t/0=5 generation=1  => x commit: illegal_generation
        0     group?                          => no group
    """)


def test_metadata_beyond_its_limit_is_refused_for_that_partition() -> None:
    Transcript(GroupConfig(offset_metadata_max_bytes=4)).run("""
        0     x commit t/0=5 metadata=12345   => x ok t/0:offset_metadata_too_large
        0     group?                          => no group
        0     x commit t/0=5 metadata=1234    => x ok
    """)


def test_commit_that_cannot_be_stored_changes_nothing() -> None:
    script = stable_member()
    script.run("""
        4000  a commit t/0=5           => a ok
        4000  storage fails with not_coordinator
        4000  a commit t/0=6           => a commit: not_coordinator
        4000  offsets?                 => offsets t/0=5
        4000  storage works
        4000  a commit t/0=7           => a ok
        4000  offsets?                 => offsets t/0=7
    """)


def test_failed_first_commit_leaves_no_group_behind() -> None:
    Transcript().run("""
        0     storage fails with not_coordinator
        0     x commit t/0=5           => x commit: not_coordinator
        0     group?                   => no group
    """)


def test_commit_counts_only_once_it_is_stored() -> None:
    script = stable_member()
    script.run("""
        4000  storage hangs
        4000  a commit t/0=5
        4000  offsets?                 => offsets t/0 unstable
        4001  storage resumes          => a ok
        4001  offsets?                 => offsets t/0=5
    """)


def test_restart_keeps_offsets_members_and_generation() -> None:
    script = stable_member()
    script.run("""
        4000  a commit t/0=5           => a ok
        4000  broker restarts
        4000  group?                   => Stable 1 members=a-1
        4000  offsets?                 => offsets t/0=5
        4001  a heartbeat              => a ok
        4001  a sync                   => a synced P0
        4001  a commit t/0=6           => a ok
    """)


def test_members_that_died_with_the_broker_time_out_after_the_restart() -> None:
    script = stable_member()
    script.run("""
        4000  broker restarts
        13999 group?                   => Stable 1 members=a-1
        14000 group?                   => Empty 2 members=
    """)


def test_restart_with_a_lower_size_limit_makes_members_rejoin() -> None:
    script = Transcript()
    script.run("""
        0     a join v0
        0     b join v0
        6000  => a leads 1 range a-1,b-1; b joined 1 range leader=a-1
        6000  b sync
        6000  a sync                   => a synced; b synced
    """)
    script.world.config = GroupConfig(max_size=1)
    script.run("""
        7000  broker restarts
        7000  group?                   => PreparingRebalance 1 members=a-1,b-1
        7001  a join
        7002  b join  => b join: group_max_size_reached; a leads 2 range a-1
    """)


def test_deleted_group_is_gone_and_stays_gone() -> None:
    script = stable_member()
    script.run("""
        4000  a commit t/0=5           => a ok
        4000  admin delete             => admin non_empty_group
        4000  a leave                  => a ok
        4000  admin delete             => admin ok
        4000  group?                   => no group
        4000  broker restarts
        4000  group?                   => no group
        4000  offsets?                 => offsets
        4000  admin delete             => admin group_id_not_found
    """)


def test_group_being_deleted_takes_no_requests() -> None:
    script = stable_member()
    script.run("""
        4000  a leave                  => a ok
        4000  storage hangs
        4000  admin delete
        4000  b join v0                => b join: coordinator_not_available
        4000  b heartbeat              => b coordinator_not_available
        4000  b commit t/0=1           => b commit: coordinator_not_available
        4000  admin delete             => admin group_id_not_found
        4001  storage resumes          => admin ok
        4001  b join v0
        4001  group?                   => PreparingRebalance 0 members=b-1
    """)


def test_deletion_that_cannot_be_stored_leaves_the_group() -> None:
    script = stable_member()
    script.run("""
        4000  a commit t/0=5           => a ok
        4000  a leave                  => a ok
        4000  storage fails with not_coordinator
        4000  admin delete             => admin not_coordinator
        4000  storage works
        4000  group?                   => Empty 2 members=
        4000  offsets?                 => offsets t/0=5
    """)


def test_commit_on_its_way_when_the_group_is_deleted_does_not_come_back() -> None:
    Transcript().run("""
        0     storage hangs
        0     x commit t/0=5
        0     admin delete
        1     storage resumes          => x ok; admin ok
        1     group?                   => no group
        1     broker restarts
        1     group?                   => no group
    """)


def test_offsets_of_subscribed_topics_cannot_be_deleted() -> None:
    script = consumer_of_t()
    script.run("""
        4000  a commit t/0=5 u/0=6     => a ok
        4000  admin delete-offsets t/0 u/0 v/0 => admin ok t/0:group_subscribed_to_topic
        4000  offsets?                 => offsets t/0=5
        4000  a leave                  => a ok
        4000  admin delete-offsets t/0 => admin ok
        4000  offsets?                 => offsets
    """)


def test_offsets_of_a_group_whose_subscriptions_are_unknown_cannot_be_deleted() -> None:
    script = stable_member()
    script.run("""
        4000  admin delete-offsets t/0 => admin delete-offsets: non_empty_group
    """)
    Transcript().run("0 admin delete-offsets t/0 => admin delete-offsets: group_id_not_found")


def test_offsets_of_a_deleted_topic_are_dropped() -> None:
    script = stable_member()
    script.run("""
        4000  a commit t/0=5 t/1=6 u/0=7 => a ok
        4000  admin delete-topic t
        4000  offsets?                 => offsets u/0=7
        4000  broker restarts
        4000  offsets?                 => offsets u/0=7
    """)


def test_offsets_expire_after_their_retention_counted_from_when_the_group_emptied() -> None:
    script = stable_member(offsets_retention_ms=1000)
    script.run("""
        4000  a commit t/0=5           => a ok
        6000  admin expire
        6000  offsets?                 => offsets t/0=5
        6000  a leave                  => a ok
        6999  admin expire
        6999  offsets?                 => offsets t/0=5
        7000  admin expire
        7000  group?                   => no group
        7000  broker restarts
        7000  group?                   => no group
    """)


def test_offsets_of_topics_no_longer_subscribed_expire_in_a_live_group() -> None:
    script = consumer_of_t(offsets_retention_ms=1000)
    script.run("""
        4000  a commit t/0=5 u/0=6     => a ok
        4999  admin expire
        4999  offsets?                 => offsets t/0=5 u/0=6
        5000  admin expire
        5000  offsets?                 => offsets t/0=5
    """)


def test_offsets_of_a_simple_group_expire_after_their_commit() -> None:
    Transcript(GroupConfig(offsets_retention_ms=1000)).run("""
        0     x commit t/0=5           => x ok
        500   x commit t/1=6           => x ok
        1000  admin expire
        1000  offsets?                 => offsets t/1=6
        1500  admin expire
        1500  group?                   => no group
    """)


def test_retention_asked_for_by_the_client_overrides_the_brokers() -> None:
    Transcript(GroupConfig(offsets_retention_ms=1000)).run("""
        0     x commit t/0=5 retention=5000 => x ok
        0     broker restarts
        4999  admin expire
        4999  offsets?                 => offsets t/0=5
        5000  admin expire
        5000  group?                   => no group
    """)


def test_a_retention_beyond_all_times_never_ends_and_one_before_them_has_ended() -> None:
    Transcript(GroupConfig(offsets_retention_ms=1000)).run(f"""
        0     x commit t/0=5 retention={2**63 - 1} => x ok
        0     x commit t/1=6 retention={-(2**63)} => x ok
        0     broker restarts
        5000  admin expire
        5000  offsets?                 => offsets t/0=5
    """)


def test_a_group_that_cannot_be_stored_goes_from_memory() -> None:
    script = Transcript(GroupConfig(offsets_retention_ms=1000))
    script.run("""
        0     x commit t/0=5           => x ok
    """)
    script.world.storage_error = CANNOT_BE_STORED
    script.run("""
        1000  admin expire
        1000  group?                   => no group
    """)


def test_empty_group_without_offsets_is_removed() -> None:
    script = stable_member()
    script.run("""
        4000  a leave                  => a ok
        4000  admin expire
        4000  group?                   => no group
    """)
