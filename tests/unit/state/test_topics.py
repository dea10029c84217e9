"""The rules for topics are Kafka's, in Kafka's words."""

import pytest
from kio.schema.errors import ErrorCode

from barnabas.state import topics


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "__consumer_offsets", "x" * 249, "...", "-"])
def test_legal_names_are_accepted(name: str) -> None:
    assert topics.topic_name_error(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "the empty string is not allowed"),
        (".", "'.' is not allowed"),
        ("..", "'..' is not allowed"),
        ("x" * 250, "is longer than the max allowed length 249"),
        ("a b", "contains one or more characters other than ASCII alphanumerics"),
        ("grüße", "contains one or more characters other than ASCII alphanumerics"),
        ("a\n", "contains one or more characters other than ASCII alphanumerics"),
        ("../etc", "contains one or more characters other than ASCII alphanumerics"),
    ],
)
def test_illegal_names_are_refused_with_kafkas_reason(name: str, reason: str) -> None:
    assert reason in (topics.topic_name_error(name) or "")


def test_names_that_look_alike_in_metrics_fold_to_the_same() -> None:
    assert topics.folded_name("a.b") == topics.folded_name("a_b") == "a_b"
    assert topics.folded_name("ab") is None


@pytest.mark.parametrize("count", [0, -2])
def test_impossible_partition_counts_are_refused(count: int) -> None:
    assert topics.partition_count_error(count)


@pytest.mark.parametrize("count", [-1, 1, topics.MAX_PARTITIONS_PER_REQUEST + 1])
def test_possible_partition_counts_are_accepted(count: int) -> None:
    assert topics.partition_count_error(count) is None


def test_one_request_makes_a_limited_number_of_partitions() -> None:
    assert topics.total_partitions_error(topics.MAX_PARTITIONS_PER_REQUEST) is None
    assert "Excessively large" in (topics.total_partitions_error(10_001) or "")


def test_more_replicas_than_brokers_are_refused() -> None:
    assert "only 1 broker(s)" in (topics.replication_factor_error(2, 1) or "")
    assert topics.replication_factor_error(1, 1) is None
    assert topics.replication_factor_error(-1, 1) is None
    assert topics.replication_factor_error(0, 1)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ([(0, [0]), (2, [0])], "consecutive 0-based"),
        ([(0, [0]), (0, [0])], "multiple manual partition assignments for partition 0"),
        ([(0, [])], "empty replica list"),
        ([(0, [0, 0])], "more than once"),
        ([(0, [7])], "no such broker"),
        ([(0, [0, 1]), (1, [0])], "not consistent"),
    ],
)
def test_bad_assignments_are_refused(
    assignments: list[tuple[int, list[int]]], message: str
) -> None:
    error = topics.assignment_error(assignments, {0, 1})
    assert error is not None
    assert error[0] is ErrorCode.invalid_replica_assignment
    assert message in error[1]


def test_good_assignments_are_accepted() -> None:
    assert topics.assignment_error([(1, [0]), (0, [0])], {0}) is None


def test_partitions_can_only_be_added() -> None:
    assert topics.new_partition_count_error("t", 3, 3) == "Topic already has 3 partition(s)."
    assert "would not be an increase" in (topics.new_partition_count_error("t", 2, 3) or "")
    assert topics.new_partition_count_error("t", 4, 3) is None
