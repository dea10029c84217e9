"""Offsets committed as part of a producer's transaction (KIP-98, KIP-447)."""

import pytest

from barnabas.state.group.config import GroupConfig
from unit.state.group.transcript import Transcript

DAY_MS = 24 * 60 * 60 * 1000


def test_offsets_count_when_the_transaction_is_committed() -> None:
    Transcript().run("""
        0     x commit t/0=5 producer=7       => x ok
        0     offsets?                        => offsets t/0 unstable
        1     producer 7 commits              => marker ok
        1     offsets?                        => offsets t/0=5
    """)


def test_offsets_of_an_aborted_transaction_are_forgotten() -> None:
    Transcript().run("""
        0     x commit t/0=5 producer=7       => x ok
        1     producer 7 aborts               => marker ok
        1     offsets? group?                 => offsets; no group
        2     x commit t/0=6                  => x ok
        3     x commit t/0=9 producer=7       => x ok
        4     producer 7 aborts               => marker ok
        4     offsets?                        => offsets t/0=6
    """)


def test_transactions_of_several_producers_do_not_mix() -> None:
    Transcript().run("""
        0     x commit t/0=5 t/1=5 producer=7 => x ok
        0     y commit t/2=8 producer=8       => y ok
        1     producer 8 commits              => marker ok
        1     offsets?                        => offsets t/0 unstable t/1 unstable t/2=8
        2     producer 9 commits              => marker ok
        3     producer 7 aborts               => marker ok
        3     offsets?                        => offsets t/2=8
    """)


def test_last_record_counts_not_the_last_end() -> None:
    Transcript().run("""
        0     x commit t/0=5 t/1=5 producer=7 => x ok
        1     y commit t/1=6 producer=8       => y ok
        2     z commit t/0=9                  => z ok
        3     producer 8 commits              => marker ok
        4     producer 7 commits              => marker ok
        4     offsets?                        => offsets t/0=9 t/1=6
        5     x commit t/0=10 producer=8      => x ok
        6     x commit t/0=11 producer=7      => x ok
        7     producer 7 commits              => marker ok
        7     producer 8 commits              => marker ok
        7     offsets?                        => offsets t/0=11 t/1=6
    """)


@pytest.mark.parametrize("end", ["commits", "aborts"])
def test_open_transaction_survives_a_restart(end: str) -> None:
    Transcript().run(f"""
        0     x commit t/0=4                  => x ok
        1     x commit t/0=5 producer=7       => x ok
        2     broker restarts
        2     offsets?                        => offsets t/0 unstable t/0=4
        3     producer 7 {end}                => marker ok
        3     offsets?                        => offsets t/0={5 if end == "commits" else 4}
        4     broker restarts
        4     offsets?                        => offsets t/0={5 if end == "commits" else 4}
    """)


def test_failed_append_leaves_the_transaction_as_it_was() -> None:
    Transcript().run("""
        0     x commit t/0=5 producer=7       => x ok
        1     storage fails with not_coordinator
        1     x commit t/1=6 producer=7       => x commit: not_coordinator
        1     producer 7 commits              => marker not_coordinator
        1     offsets?                        => offsets t/0 unstable
        2     storage works
        2     producer 7 commits              => marker ok
        2     offsets?                        => offsets t/0=5
    """)


def test_only_members_of_the_generation_commit_for_the_group() -> None:
    Transcript().run("""
        0     a join v0
        3000  => a leads 1 range a-1
        # between join and sync is no obstacle, unlike without a transaction
        3000  a commit t/0=5 producer=7       => a ok
        3000  a sync a=P0                     => a synced P0
        3001  a commit t/0=6 producer=7 generation=0 => a commit: illegal_generation
        3001  b commit t/0=6 producer=7 generation=1 => b commit: unknown_member_id
        # producers before KIP-447 do not say who consumes
        3001  x commit t/0=7 producer=8       => x ok
        3002  producer 7 commits              => marker ok
        3002  producer 8 commits              => marker ok
        3002  offsets?                        => offsets t/0=7
    """)


def test_group_with_an_open_transaction_does_not_expire() -> None:
    Transcript(GroupConfig(offsets_retention_ms=DAY_MS)).run(f"""
        0     x commit t/0=5 producer=7       => x ok
        {DAY_MS}     admin expire
        {DAY_MS}     offsets?                 => offsets t/0 unstable
        {DAY_MS}     producer 7 commits       => marker ok
        {DAY_MS}     offsets?                 => offsets t/0=5
        {DAY_MS}     admin expire
        {DAY_MS}     offsets? group?          => offsets; no group
    """)


def test_deletion_takes_pending_offsets_with_it() -> None:
    Transcript().run("""
        0     x commit t/0=5 u/0=5 producer=7 => x ok
        1     admin delete-topic t
        1     offsets?                        => offsets u/0 unstable
        2     broker restarts
        2     offsets?                        => offsets u/0 unstable
        3     producer 7 commits              => marker ok
        3     offsets?                        => offsets u/0=5
        4     x commit t/0=5 producer=7       => x ok
        5     admin delete                    => admin ok
        6     producer 7 commits              => marker ok
        6     offsets? group?                 => offsets; no group
    """)
