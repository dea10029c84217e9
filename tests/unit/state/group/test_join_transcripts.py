"""Joining, rebalancing and being given up, told as transcripts (see transcript.py)."""

from barnabas.state.group.config import GroupConfig
from unit.state.group.transcript import Transcript

TWO_STABLE_MEMBERS = """
    0     a join                   => a is a-1
    0     a join
    0     b join                   => b is b-1
    0     b join
    6000  => a leads 1 range a-1,b-1; b joined 1 range leader=a-1
    6000  b sync
    6000  a sync a=P0 b=P1         => a synced P0; b synced P1
"""


def transcript(**settings: int) -> Transcript:
    return Transcript(GroupConfig(**settings))


def stable_pair(**settings: int) -> Transcript:
    script = transcript(**settings)
    script.run(TWO_STABLE_MEMBERS)
    return script


def test_first_member_waits_the_initial_delay_then_leads() -> None:
    transcript().run("""
        0     a join                   => a is a-1
        5     a join
        3004  group?                   => PreparingRebalance 0 members=a-1
        3005  => a leads 1 range a-1
        3005  group?                   => CompletingRebalance 1 members=a-1
        3010  a sync a=P0              => a synced P0
        3010  group?                   => Stable 1 members=a-1
    """)


def test_each_new_member_extends_the_initial_delay_up_to_the_rebalance_timeout() -> None:
    transcript().run("""
        0     a join v0 rebalance=7000
        2000  b join v0 rebalance=7000
        3000  group?                   => PreparingRebalance 0 members=a-1,b-1
        5000  c join v0 rebalance=7000
        6000  group?                   => PreparingRebalance 0 members=a-1,b-1,c-1
        6500  d join v0 rebalance=7000
        7000  => a leads 1 range a-1,b-1,c-1,d-1; b joined 1 range leader=a-1; c joined 1 range leader=a-1; d joined 1 range leader=a-1
    """)  # noqa: E501


def test_no_initial_delay_answers_in_the_next_moment() -> None:
    transcript(initial_rebalance_delay_ms=0).run("""
        0     a join v0
        0     => a leads 1 range a-1
    """)


def test_old_clients_need_no_second_join() -> None:
    transcript().run("""
        0     a join v0
        3000  => a leads 1 range a-1
    """)


def test_static_members_need_no_second_join() -> None:
    transcript().run("""
        0     a join instance=i
        3000  => a leads 1 range i-1
    """)


def test_unknown_member_id_is_refused_and_makes_no_group() -> None:
    transcript().run("""
        0     a join id=nobody         => a join: unknown_member_id
        0     group?                   => no group
    """)


def test_empty_group_id_is_refused() -> None:
    transcript().run("0  a join group=  => a join: invalid_group_id")


def test_session_timeout_out_of_bounds_is_refused() -> None:
    transcript().run("""
        0     a join session=5999      => a join: invalid_session_timeout
        0     a join session=1800001   => a join: invalid_session_timeout
        0     a join session=6000      => a is a-1
        0     b join session=1800000   => b is b-1
    """)


def test_join_without_protocols_makes_no_group() -> None:
    transcript().run("""
        0     a join type=             => a join: inconsistent_group_protocol
        0     group?                   => no group
    """)


def test_pending_member_that_never_returns_is_forgotten_after_its_session_timeout() -> None:
    script = stable_pair()
    script.run("""
        6000  c join                   => c is c-1
        8000  a heartbeat              => a ok
        8000  b heartbeat              => b ok
        16000 a heartbeat              => a ok
        16001 c join                   => c join: unknown_member_id
    """)


def test_pending_member_does_not_stall_a_rebalance_beyond_its_session_timeout() -> None:
    script = stable_pair()
    script.run("""
        6000  c join session=6000      => c is c-1
        7000  a join
        7000  b join
        11999 group?                   => PreparingRebalance 1 members=a-1,b-1
        12000 => a leads 2 range a-1,b-1; b joined 2 range leader=a-1
    """)


def test_pending_member_that_leaves_lets_the_rebalance_finish() -> None:
    script = stable_pair()
    script.run("""
        6000  c join                   => c is c-1
        7000  a join
        7000  b join
        7001  c leave  => c ok; a leads 2 range a-1,b-1; b joined 2 range leader=a-1
    """)


def test_leaving_before_the_second_join_does_not_disturb_the_others() -> None:
    script = stable_pair()
    script.run("""
        6000  c join                   => c is c-1
        6001  c leave                  => c ok
        6002  a heartbeat              => a ok
    """)


def test_new_member_makes_the_others_rejoin() -> None:
    script = stable_pair()
    script.run("""
        7000  c join                   => c is c-1
        7000  c join
        7000  a heartbeat              => a rebalance_in_progress
        7000  b heartbeat              => b rebalance_in_progress
        7100  a join
        7200  b join => a leads 2 range a-1,b-1,c-1; b joined 2 range leader=a-1; c joined 2 range leader=a-1
    """)  # noqa: E501


def test_member_that_does_not_rejoin_in_time_is_out() -> None:
    script = stable_pair()
    script.run("""
        7000  c join v0
        8000  b join
        10000 a heartbeat              => a rebalance_in_progress
        19000 a heartbeat              => a rebalance_in_progress
        28000 a heartbeat              => a rebalance_in_progress
        37000 a heartbeat              => a rebalance_in_progress
        46000 a heartbeat              => a rebalance_in_progress
        55000 a heartbeat              => a rebalance_in_progress
        64000 a heartbeat              => a rebalance_in_progress
        66999 group?                   => PreparingRebalance 1 members=a-1,b-1,c-1
        67000 => b leads 2 range b-1,c-1; c joined 2 range leader=b-1
        67000 a heartbeat              => a unknown_member_id
    """)


def test_silent_member_is_given_up_after_its_session_timeout() -> None:
    script = stable_pair()
    script.run("""
        10000 a heartbeat              => a ok
        15999 b heartbeat              => b ok
        19999 group?                   => Stable 1 members=a-1,b-1
        20000 group?                   => PreparingRebalance 1 members=b-1
        20000 b heartbeat              => b rebalance_in_progress
        20001 b join                   => b leads 2 range b-1
    """)


def test_last_member_gone_leaves_an_empty_group() -> None:
    script = stable_pair()
    script.run("""
        7000  a leave                  => a ok
        7000  b leave                  => b ok
        7000  group?                   => Empty 2 members=
    """)


def test_last_member_that_leaves_is_told_once_the_empty_group_is_stored() -> None:
    script = stable_pair()
    script.run("""
        7000  a leave                  => a ok
        7000  storage hangs
        7000  b leave
        7100  storage resumes          => b ok
    """)


def test_last_member_that_leaves_is_told_that_this_could_not_be_stored() -> None:
    script = stable_pair()
    script.run("""
        7000  a leave                  => a ok
        7000  storage fails with not_coordinator
        7000  b leave                  => b leave: not_coordinator
        7000  storage works
        7000  group?                   => Empty 2 members=
    """)


def test_parked_new_member_is_given_up_after_five_minutes() -> None:
    script = transcript()
    script.run("""
        0      a join instance=i session=1800000 rebalance=1800000
        3000   => a leads 1 range i-1
        3000   a sync a=P0                 => a synced P0
        4000   b join v0 session=1800000 rebalance=1800000
        303999 group?                      => PreparingRebalance 1 members=b-1,i-1
        304000 => b join: unknown_member_id
    """)


def test_group_full_turns_new_members_away() -> None:
    script = stable_pair(max_size=2)
    script.run("""
        7000  c join                   => c join: group_max_size_reached
        7000  c join v0                => c join: group_max_size_reached
        7000  a heartbeat              => a ok
        7001  a join
        7002  b join                   => a leads 2 range a-1,b-1; b joined 2 range leader=a-1
    """)


def test_protocol_all_support_with_most_votes_is_chosen() -> None:
    transcript().run("""
        0     a join v0 protocols=range:,rr:,sticky:
        0     b join v0 protocols=rr:,range:
        0     c join v0 protocols=rr:,range:
        6000  => a leads 1 rr a-1,b-1,c-1; b joined 1 rr leader=a-1; c joined 1 rr leader=a-1
    """)


def test_member_without_a_common_protocol_is_refused() -> None:
    script = stable_pair()
    script.run("""
        7000  c join protocols=rr:             => c join: inconsistent_group_protocol
        7000  c join type=connect              => c join: inconsistent_group_protocol
        7000  group?                           => Stable 1 members=a-1,b-1
    """)


def test_leader_that_rejoins_starts_a_rebalance() -> None:
    script = stable_pair()
    script.run("""
        7000  a join
        7000  group?                   => PreparingRebalance 1 members=a-1,b-1
        7000  b join                   => a leads 2 range a-1,b-1; b joined 2 range leader=a-1
    """)


def test_follower_that_rejoins_unchanged_gets_the_current_generation() -> None:
    script = stable_pair()
    script.run("""
        7000  b join                   => b joined 1 range leader=a-1
        7000  b sync                   => b synced P1
        7000  a heartbeat              => a ok
    """)


def test_follower_that_rejoins_changed_starts_a_rebalance() -> None:
    script = stable_pair()
    script.run("""
        7000  b join protocols=range:other
        7000  a heartbeat              => a rebalance_in_progress
    """)


def test_members_that_missed_the_join_answer_get_it_again() -> None:
    transcript().run("""
        0     a join v0
        0     b join v0
        6000  => a leads 1 range a-1,b-1; b joined 1 range leader=a-1
        6001  a join                   => a leads 1 range a-1,b-1
        6001  b join                   => b joined 1 range leader=a-1
    """)


def test_retried_join_gets_the_answer_and_the_first_try_an_error() -> None:
    script = stable_pair()
    script.run("""
        7000  a join
        7001  a join                   => a join: rebalance_in_progress
        7002  b join                   => a leads 2 range a-1,b-1; b joined 2 range leader=a-1
    """)


def test_leader_that_does_not_rejoin_is_replaced() -> None:
    script = stable_pair()
    script.run("""
        7000  b join protocols=range:other rebalance=20000
        8000  a leave                  => a ok; b leads 2 range b-1
    """)


def test_member_that_leaves_while_joining_is_told_so() -> None:
    script = stable_pair()
    script.run("""
        7000  a join
        7000  a leave                  => a ok; a join: unknown_member_id
        7000  b join                   => b leads 2 range b-1
    """)


def test_leaving_twice_is_an_error() -> None:
    script = stable_pair()
    script.run("""
        7000  a leave                  => a ok
        7000  a leave                  => a unknown_member_id
    """)


def test_heartbeat_of_an_old_generation_is_refused() -> None:
    script = stable_pair()
    script.run("""
        7000  a heartbeat generation=0 => a illegal_generation
        7000  c heartbeat              => c unknown_member_id
    """)


def test_refused_heartbeat_does_not_keep_the_session_alive() -> None:
    script = stable_pair()
    script.run("""
        10000 a heartbeat generation=0 => a illegal_generation
        10000 b heartbeat              => b ok
        16000 group?                   => PreparingRebalance 1 members=b-1
    """)
