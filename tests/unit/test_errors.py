"""Errors as users read them."""

import pickle

import pytest
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.errors import KafkaError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KafkaError(ErrorCode.not_leader_or_follower, "t-0"), "NOT_LEADER_OR_FOLLOWER (6): t-0"),
        (KafkaError(ErrorCode.unknown_server_error), "UNKNOWN_SERVER_ERROR (-1)"),
    ],
)
def test_an_error_of_kafkas_says_which_it_is(error: KafkaError, text: str) -> None:
    assert str(error) == text
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.message) == (text, error.code, error.message)


def test_a_topic_that_is_not_there_is_named() -> None:
    with (
        barnabas.Broker() as broker,
        pytest.raises(KafkaError, match=r"UNKNOWN_TOPIC_OR_PARTITION \(3\): The topic 'nosuch' do"),
    ):
        broker.delete_topic("nosuch")
