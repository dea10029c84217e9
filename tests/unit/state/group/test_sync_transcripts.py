"""Handing out assignments, also when the log fails or hangs."""

from barnabas.state.group.config import GroupConfig
from unit.state.group.transcript import Transcript

JOINED_PAIR = """
    0     a join v0
    0     b join v0
    6000  => a leads 1 range a-1,b-1; b joined 1 range leader=a-1
"""


def joined_pair(**settings: int) -> Transcript:
    script = Transcript(GroupConfig(**settings))
    script.run(JOINED_PAIR)
    return script


def test_followers_wait_for_the_leaders_assignment() -> None:
    script = joined_pair()
    script.run("""
        6000  b sync
        6100  a sync a=P0 b=P1         => a synced P0; b synced P1
    """)


def test_follower_that_syncs_late_gets_its_assignment_at_once() -> None:
    script = joined_pair()
    script.run("""
        6000  a sync a=P0 b=P1         => a synced P0
        6100  b sync                   => b synced P1
    """)


def test_member_the_leader_forgot_gets_an_empty_assignment() -> None:
    script = joined_pair()
    script.run("""
        6000  b sync
        6000  a sync a=P0              => a synced P0; b synced
    """)


def test_leader_that_assigns_nothing_still_makes_the_group_stable() -> None:
    script = joined_pair()
    script.run("""
        6000  a sync                   => a synced
        6000  b sync                   => b synced
        6000  group?                   => Stable 1 members=a-1,b-1
    """)


def test_assignments_for_strangers_are_dropped() -> None:
    script = joined_pair()
    script.run("""
        6000  a sync a=P0 stranger=P9  => a synced P0
        6000  broker restarts
        6000  group?                   => Stable 1 members=a-1,b-1
    """)


def test_sync_of_another_generation_or_protocol_is_refused() -> None:
    script = joined_pair()
    script.run("""
        6000  b sync generation=2      => b sync: illegal_generation
        6000  b sync protocol=rr       => b sync: inconsistent_group_protocol
        6000  c sync                   => c sync: unknown_member_id
        6000  b sync protocol=range
        6000  a sync b=P1              => a synced; b synced P1
    """)


def test_sync_during_a_join_phase_is_refused() -> None:
    script = joined_pair()
    script.run("""
        6000  a sync                   => a synced
        6000  a join
        6000  b sync                   => b sync: rebalance_in_progress
    """)


def test_sync_in_an_unknown_or_empty_group_is_refused() -> None:
    script = joined_pair()
    script.run("""
        6000  a leave                  => a ok
        6000  b leave                  => b ok
        6000  a sync                   => a sync: unknown_member_id
    """)


def test_new_member_sends_waiting_followers_back_to_join() -> None:
    script = joined_pair()
    script.run("""
        6000  b sync
        6001  c join v0                => b sync: rebalance_in_progress
        6001  a sync a=P0              => a sync: rebalance_in_progress
    """)


def test_member_that_leaves_while_it_waits_is_told_so() -> None:
    script = joined_pair()
    script.run("""
        6000  b sync
        6001  b leave                  => b ok; b sync: unknown_member_id
        6002  a join                   => a leads 2 range a-1
    """)


def test_retried_sync_gets_the_answer_and_the_first_try_an_error() -> None:
    script = joined_pair()
    script.run("""
        6000  b sync
        6001  b sync                   => b sync: rebalance_in_progress
        6002  a sync b=P1              => a synced; b synced P1
    """)


def test_members_that_never_sync_are_removed_after_the_rebalance_timeout() -> None:
    script = Transcript()
    script.run("""
        0     a join v0 rebalance=8000 session=60000
        0     b join v0 rebalance=8000 session=60000
        6000  => a leads 1 range a-1,b-1; b joined 1 range leader=a-1
        6000  a sync a=P0              => a synced P0
        13999 group?                   => Stable 1 members=a-1,b-1
        14000 group?                   => PreparingRebalance 1 members=a-1
        14001 a join                   => a leads 2 range a-1
    """)


def test_leader_that_never_syncs_does_not_hold_up_the_group() -> None:
    script = Transcript()
    script.run("""
        0     a join v0 rebalance=8000 session=60000
        0     b join v0 rebalance=8000 session=60000
        6000  => a leads 1 range a-1,b-1; b joined 1 range leader=a-1
        6000  b sync
        14000 => b sync: rebalance_in_progress
        14001 b join                   => b leads 2 range b-1
    """)


def test_follower_waiting_for_its_assignment_needs_no_heartbeat() -> None:
    script = joined_pair()
    script.run("""
        6000  b sync
        15000 a heartbeat              => a ok
        17000 group?                   => CompletingRebalance 1 members=a-1,b-1
        17000 a sync b=P1              => a synced; b synced P1
        26999 a heartbeat              => a ok
        27000 group?                   => PreparingRebalance 1 members=a-1
    """)


def test_assignment_that_cannot_be_stored_is_not_handed_out() -> None:
    script = joined_pair()
    script.run("""
        6000  b sync
        6000  storage fails with coordinator_not_available
        6000  a sync a=P0 b=P1  => a sync: coordinator_not_available; b sync: coordinator_not_available
        6000  group?                   => PreparingRebalance 1 members=a-1,b-1
        6001  storage works
        6001  a join
        6001  b join                   => a leads 2 range a-1,b-1; b joined 2 range leader=a-1
    """)  # noqa: E501


def test_assignment_is_handed_out_only_once_it_is_stored() -> None:
    script = joined_pair()
    script.run("""
        6000  storage hangs
        6000  a sync a=P0 b=P1
        6001  b sync
        6002  a heartbeat              => a ok
        6003  storage resumes          => a synced P0; b synced P1
    """)


def test_assignment_stored_after_a_new_rebalance_began_is_void() -> None:
    script = joined_pair()
    script.run("""
        6000  storage hangs
        6000  a sync a=P0 b=P1
        6001  c join v0                => a sync: rebalance_in_progress
        6002  storage resumes
        6003  group?                   => PreparingRebalance 1 members=a-1,b-1,c-1
    """)


def test_leader_that_retries_while_its_assignment_is_stored_cannot_change_it() -> None:
    script = joined_pair()
    script.run("""
        6000  storage hangs
        6000  a sync a=P0 b=P1
        6001  a sync a=P1 b=P0         => a sync: rebalance_in_progress
        6002  storage resumes          => a synced P0
        6003  broker restarts
        6003  b sync                   => b synced P1
    """)
