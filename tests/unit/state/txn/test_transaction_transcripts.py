"""Transactions as clients of both kinds see them."""

from barnabas.state.txn.config import TransactionConfig
from barnabas.state.txn.records import TransactionValue
from unit.state.txn.transcript import Transcript


def begun(**settings: int) -> Transcript:
    script = Transcript(TransactionConfig(**settings))
    script.run("""
        0   a init                => a is 1000/0
        10  a add t/0 u/3         => a ok
    """)
    return script


# -- InitProducerId


def test_each_init_gets_the_next_epoch_and_fences_the_one_before() -> None:
    Transcript().run("""
        0   a init                => a is 1000/0
        0   b init                => b is 1000/1
        1   a add t/0             => a producer_fenced
        1   a commit              => a commit: producer_fenced
        1   a commit v1           => a commit: producer_fenced
        1   b add t/0             => b ok
    """)


def test_timeout_beyond_what_the_broker_allows_is_refused() -> None:
    Transcript(TransactionConfig(max_timeout_ms=5000)).run("""
        0   a init timeout=5001   => a init: invalid_transaction_timeout
        0   a init timeout=0      => a init: invalid_transaction_timeout
        0   txn?                  => no transaction
        0   a init timeout=5000   => a is 1002/0
    """)


def test_init_during_a_transaction_aborts_it_first() -> None:
    begun().run("""
        20  markers hang
        20  b init                => b init: concurrent_transactions
        21  b init                => b init: concurrent_transactions
        21  a add t/1             => a concurrent_transactions
        22  markers resume        => t/0 abort 1000/1; u/3 abort 1000/1
        22  a add t/1             => a producer_fenced
        23  b init                => b is 1000/2
        24  a commit              => a commit: producer_fenced
    """)


def test_producer_recovers_with_its_id_and_epoch() -> None:
    Transcript().run("""
        0   a init                => a is 1000/0
        1   a init again          => a is 1000/1
        # its request is repeated: the answer was lost
        1   a is 1000/0
        1   a init again          => a is 1000/1
        2   b init                => b is 1000/2
        3   a init again          => a init: producer_fenced
    """)


def test_producer_of_another_id_does_not_recover() -> None:
    Transcript().run("""
        0   a init                => a is 1000/0
        1   b is 7/0
        1   b init again          => b init: producer_fenced
    """)


def test_new_transactional_id_takes_whatever_producer_the_client_was() -> None:
    Transcript().run("""
        0   a is 7/3
        0   a init again          => a is 1000/0
    """)


def test_used_up_epochs_give_a_new_producer_id() -> None:
    script = Transcript()
    script.run("0   a init                => a is 1000/0")
    transaction = script.world.shard.transactions["x"]
    transaction.value = _at_epoch(transaction.value, 32766)
    script.run("""
        1   a is 1000/32766
        1   a init again          => a is 1001/0
        # repeated, as the id that it was
        2   a is 1000/32766
        2   a init again          => a is 1001/0
        3   b init                => b is 1001/1
    """)


# -- partitions


def test_partitions_are_known_only_when_they_are_stored() -> None:
    Transcript().run("""
        0   a init                => a is 1000/0
        1   storage hangs
        1   a add t/0
        1   a verify t/0          => t/0 transaction_abortable
        1   a add t/1             => a concurrent_transactions
        2   storage resumes       => a ok
        2   a verify t/0 t/1      => t/0 ok; t/1 transaction_abortable
        2   txn?                  => Ongoing 1000/0 t/0
    """)


def test_adding_known_partitions_again_writes_nothing() -> None:
    script = begun()
    records = len(script.world.log)
    script.run("20  a add t/0             => a ok")
    assert len(script.world.log) == records


def test_strangers_may_not_add_partitions() -> None:
    script = Transcript()
    script.run("""
        0   z is 1/0
        0   z add t/0             => z invalid_producer_id_mapping
        0   z verify t/0          => t/0 invalid_producer_id_mapping
        0   a init                => a is 1000/0
        0   z add t/0             => z invalid_producer_id_mapping
        0   z verify t/0          => t/0 invalid_producer_id_mapping
        0   z is 1000/5
        0   z add t/0             => z producer_fenced
        0   z verify t/0          => t/0 producer_fenced
    """)


# -- the end, with transactions v1


def test_classic_commit_keeps_the_epoch_and_may_be_repeated() -> None:
    begun().run("""
        20  markers hang
        20  a commit v1           => a is 1000/0
        20  txn?                  => PrepareCommit 1000/0 t/0 u/3
        20  a add t/5 v1          => a concurrent_transactions
        20  a commit v1           => a commit: concurrent_transactions
        20  a abort v1            => a abort: concurrent_transactions
        21  markers resume        => t/0 commit 1000/0; u/3 commit 1000/0
        21  txn?                  => CompleteCommit 1000/0
        22  a commit v1           => a is 1000/0
        22  a abort v1            => a abort: invalid_txn_state
        23  a add t/1 v1          => a ok
        23  a abort v1            => t/1 abort 1000/0; a is 1000/0
        24  a abort v1            => a is 1000/0
        24  a commit v1           => a commit: invalid_txn_state
    """)


def test_classic_client_cannot_end_what_it_has_not_begun() -> None:
    Transcript().run("""
        0   a init                => a is 1000/0
        0   a commit v1           => a commit: invalid_txn_state
        0   a abort v1            => a abort: invalid_txn_state
    """)


# -- the end, with transactions v2


def test_commit_bumps_the_epoch_and_may_be_repeated() -> None:
    begun().run("""
        20  markers hang
        20  a commit              => a is 1000/1
        20  a commit repeat       => a commit: concurrent_transactions
        20  a abort repeat        => a abort: concurrent_transactions
        20  a add t/0             => a concurrent_transactions
        21  markers resume        => t/0 commit 1000/1; u/3 commit 1000/1
        22  a commit repeat       => a is 1000/1
        22  a abort repeat        => a abort: invalid_txn_state
        23  a add t/1             => a ok
        23  a commit repeat       => a commit: producer_fenced
        24  a abort               => t/1 abort 1000/2; a is 1000/2
        25  a abort repeat        => a is 1000/2
        25  a commit repeat       => a commit: invalid_txn_state
    """)


def test_abort_without_a_partition_bumps_the_epoch_too() -> None:
    Transcript().run("""
        0   a init                => a is 1000/0
        1   a commit              => a commit: invalid_txn_state
        1   a abort               => a is 1000/1
        1   txn?                  => CompleteAbort 1000/1
        2   a abort               => a is 1000/2
        3   a add t/0             => a ok
        4   a commit              => t/0 commit 1000/3; a is 1000/3
        5   a abort               => a is 1000/4
        6   a commit              => a commit: invalid_txn_state
    """)


def test_last_epoch_of_a_producer_id_ends_in_a_new_one() -> None:
    script = begun()
    transaction = script.world.shard.transactions["x"]
    transaction.value = _at_epoch(transaction.value, 32766)
    script.run("""
        20  a is 1000/32766
        20  a commit              => t/0 commit 1000/32767; u/3 commit 1000/32767; a is 1001/0
        21  a commit repeat       => a is 1001/0
        21  a abort repeat        => a abort: invalid_txn_state
        22  broker restarts
        23  a commit repeat       => a is 1001/0
        24  a add t/0             => a ok
        25  a commit              => t/0 commit 1001/1; a is 1001/1
    """)


def test_producer_waits_with_its_new_id_until_the_markers_are_written() -> None:
    script = begun()
    transaction = script.world.shard.transactions["x"]
    transaction.value = _at_epoch(transaction.value, 32766)
    script.run("""
        20  a is 1000/32766
        20  markers hang
        20  a commit              => a is 1001/0
        21  a add t/0             => a concurrent_transactions
        21  a abort               => a abort: concurrent_transactions
        22  markers resume        => t/0 commit 1000/32767; u/3 commit 1000/32767
        23  a add t/0             => a ok
        24  a commit              => t/0 commit 1001/1; a is 1001/1
    """)


# -- time


def test_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() -> None:
    begun().run("""
        60010 coordinator ticks
        60011 coordinator ticks   => t/0 abort 1000/1; u/3 abort 1000/1
        60012 txn?                => CompleteAbort 1000/1
        60012 a add t/0           => a producer_fenced
        60013 a commit v1         => a commit: producer_fenced
        60014 a init              => a is 1000/2
    """)


def test_time_counts_from_the_first_partition() -> None:
    begun().run("""
        50000 a add t/7           => a ok
        60011 coordinator ticks   => t/0 abort 1000/1; u/3 abort 1000/1; t/7 abort 1000/1
    """)


def test_timeout_with_the_last_epoch_gives_a_new_producer_id() -> None:
    script = begun()
    transaction = script.world.shard.transactions["x"]
    transaction.value = _at_epoch(transaction.value, 32766)
    script.run("""
        60011 coordinator ticks   => t/0 abort 1000/32767; u/3 abort 1000/32767
        60012 txn?                => CompleteAbort 1001/0
        60013 b init              => b is 1001/1
    """)


def test_unused_transactional_id_is_forgotten() -> None:
    script = begun(id_expiration_ms=100_000)
    script.run("""
        200000 coordinator expires
        200000 a commit           => t/0 commit 1000/1; u/3 commit 1000/1; a is 1000/1
        299999 coordinator expires
        299999 txn?               => CompleteCommit 1000/1
        300000 coordinator expires
        300000 txn?               => no transaction
        300001 a add t/0          => a invalid_producer_id_mapping
        300002 broker restarts
        300002 txn?               => no transaction
        300003 a init             => a is 1001/0
    """)


# -- failures


def test_change_that_cannot_be_stored_has_not_happened() -> None:
    Transcript().run("""
        0   storage fails with not_coordinator
        0   a init                => a init: not_coordinator
        0   txn?                  => no transaction
        1   storage works
        1   a init                => a is 1001/0
        2   storage fails with coordinator_not_available
        2   a add t/0             => a coordinator_not_available
        2   txn?                  => Empty 1001/0
        3   storage works
        3   a add t/0             => a ok
        4   storage fails with coordinator_not_available
        4   a commit              => a commit: coordinator_not_available
        4   txn?                  => Ongoing 1001/0 t/0
        5   b init                => b init: coordinator_not_available
        5   txn?                  => Ongoing 1001/0 t/0
        6   storage works
        6   a commit              => t/0 commit 1001/1; a is 1001/1
    """)


def test_end_that_cannot_be_noted_is_tried_again() -> None:
    script = begun()
    script.run("""
        20  markers hang
        20  a commit              => a is 1000/1
        21  storage fails with coordinator_not_available
        21  markers resume        => t/0 commit 1000/1; u/3 commit 1000/1
        21  txn?                  => PrepareCommit 1000/1 t/0 u/3
        22  storage works
        22  markers resume        => t/0 commit 1000/1; u/3 commit 1000/1
        22  txn?                  => CompleteCommit 1000/1
    """)


def test_restart_after_the_decision_writes_the_markers() -> None:
    begun().run("""
        20  markers hang
        20  a commit              => a is 1000/1
        21  broker restarts
        21  a add t/1             => a concurrent_transactions
        22  markers resume        => t/0 commit 1000/1; u/3 commit 1000/1
        23  a commit repeat       => a is 1000/1
    """)


def test_restart_before_the_decision_keeps_the_transaction_open() -> None:
    begun().run("""
        20  broker restarts
        21  txn?                  => Ongoing 1000/0 t/0 u/3
        22  a abort               => t/0 abort 1000/1; u/3 abort 1000/1; a is 1000/1
    """)


def _at_epoch(value: TransactionValue, epoch: int) -> TransactionValue:
    return value._replace(producer_epoch=epoch)


def test_a_transaction_from_after_now_has_its_time_from_the_load_on() -> None:
    """The clock was set back between two runs of the broker."""
    script = Transcript()
    script.run("""
        90000 a init timeout=1000 => a is 1000/0
        90010 a add t/0           => a ok
        0     broker restarts
        1000  coordinator ticks
        1000  txn?                => Ongoing 1000/0 t/0
        1001  coordinator ticks   => t/0 abort 1000/1
    """)
