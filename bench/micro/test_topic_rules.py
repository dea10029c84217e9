"""The rules that a request for topics is checked by, and nothing of what makes them."""

from pytest_benchmark.fixture import BenchmarkFixture

from barnabas.state import topics

TOPICS = [f"team-{number % 7}.events.{number}" for number in range(100)]
ASSIGNMENT = [(number, [1]) for number in range(100)]


def test_names_of_a_hundred_topics(benchmark: BenchmarkFixture) -> None:
    def check() -> list[tuple[str | None, str | None]]:
        return [(topics.topic_name_error(name), topics.folded_name(name)) for name in TOPICS]

    assert all(error is None and folded for error, folded in benchmark(check))


def test_assignment_of_a_hundred_partitions(benchmark: BenchmarkFixture) -> None:
    assert benchmark(topics.assignment_error, ASSIGNMENT, {1}) is None
