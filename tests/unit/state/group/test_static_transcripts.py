"""Static members: restarts without a rebalance, and fencing."""

from barnabas.state.group.config import GroupConfig
from unit.state.group.transcript import Transcript

STATIC_PAIR = """
    0     a join instance=i
    0     b join instance=j
    6000  => a leads 1 range i-1,j-1; b joined 1 range leader=i-1
    6000  b sync
    6000  a sync a=P0 b=P1         => a synced P0; b synced P1
"""


def static_pair(**settings: int) -> Transcript:
    script = Transcript(GroupConfig(**settings))
    script.run(STATIC_PAIR)
    return script


def test_restarted_static_follower_keeps_its_assignment_without_a_rebalance() -> None:
    script = static_pair()
    script.run("""
        7000  b join id=               => b joined 1 range leader=i-1
        7000  b sync                   => b synced P1
        7000  group?                   => Stable 1 members=i-1,j-2
        7000  a heartbeat              => a ok
    """)


def test_restarted_static_leader_skips_the_assignment() -> None:
    script = static_pair()
    script.run("""
        7000  a join id=               => a leads 1 range i-2,j-1 skip
        7000  a sync                   => a synced P0
        7000  b heartbeat              => b ok
    """)


def test_restarted_static_leader_of_an_old_version_is_told_it_follows() -> None:
    script = static_pair()
    script.run("""
        7000  a join v8 id=            => a joined 1 range leader=i-1
        7000  a sync                   => a synced P0
    """)


def test_old_instance_is_fenced() -> None:
    script = static_pair()
    script.run("""
        7000  c join instance=j        => c joined 1 range leader=i-1
        7001  b heartbeat              => b fenced_instance_id
        7001  b join                   => b join: fenced_instance_id
        7001  b sync                   => b sync: fenced_instance_id
        7001  b commit t/0=1           => b commit: fenced_instance_id
        7001  b leave                  => b fenced_instance_id
        7002  c heartbeat              => c ok
    """)


def test_instance_waiting_in_join_is_fenced_by_its_successor() -> None:
    script = static_pair()
    script.run("""
        7000  a join
        7001  c join instance=i        => a join: fenced_instance_id
        7002  b join                   => c leads 2 range i-2,j-1; b joined 2 range leader=i-2
    """)


def test_instance_waiting_in_sync_is_fenced_and_the_group_rebalances() -> None:
    Transcript().run("""
        0     a join instance=i
        0     b join instance=j
        6000  => a leads 1 range i-1,j-1; b joined 1 range leader=i-1
        6000  b sync
        6001  c join instance=j        => b sync: fenced_instance_id
        6002  a join                   => a leads 2 range i-1,j-2; c joined 2 range leader=i-1
    """)


def test_restarted_static_member_with_another_protocol_starts_a_rebalance() -> None:
    script = Transcript()
    script.run("""
        0     a join instance=i protocols=range:,rr:
        3000  => a leads 1 range i-1
        3000  a sync a=P0              => a synced P0
        4000  a join id= protocols=rr: => a leads 2 rr i-2
    """)


def test_unknown_instance_id_is_no_member() -> None:
    script = static_pair()
    script.run("""
        7000  c join instance=k id=k-1 => c join: unknown_member_id
        7000  c leave instance=k       => c unknown_member_id
    """)


def test_administrator_removes_a_static_member_by_instance() -> None:
    script = static_pair()
    script.run("""
        7000  x leave instance=j       => x ok
        7000  group?                   => PreparingRebalance 1 members=i-1
        7000  b heartbeat              => b unknown_member_id
    """)


def test_static_member_away_during_a_rebalance_stays_and_gets_a_share() -> None:
    script = static_pair()
    script.run("""
        7000  a join rebalance=9000 session=30000
        8000  b heartbeat              => b rebalance_in_progress
        17999 b heartbeat              => b rebalance_in_progress
        27000 b heartbeat              => b rebalance_in_progress
        36000 b heartbeat              => b rebalance_in_progress
        45000 b heartbeat              => b rebalance_in_progress
        54000 b heartbeat              => b rebalance_in_progress
        63000 b heartbeat              => b rebalance_in_progress
        67000 => a leads 2 range i-1,j-1
        67000 a sync a=P0 b=P1         => a synced P0
        67001 b join id=               => b joined 2 range leader=i-1
        67001 b sync                   => b synced P1
    """)


def test_static_member_is_given_up_after_its_session_timeout() -> None:
    script = static_pair()
    script.run("""
        15000 a heartbeat              => a ok
        16000 group?                   => PreparingRebalance 1 members=i-1
    """)


def test_failed_write_of_a_restarted_static_member_restores_the_old_one() -> None:
    script = static_pair()
    script.run("""
        7000  storage fails with not_coordinator
        7000  c join instance=j        => c join: not_coordinator
        7000  b heartbeat              => b ok
        7000  b sync                   => b synced P1
        7000  group?                   => Stable 1 members=i-1,j-1
    """)


def test_rebalance_that_starts_while_the_static_member_is_written_answers_it() -> None:
    script = static_pair()
    script.run("""
        7000  storage hangs
        7000  b join id=
        7001  a join                   => a leads 2 range i-1,j-2; b joined 2 range leader=i-1
        7002  storage resumes
    """)
