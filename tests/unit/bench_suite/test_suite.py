from collections import Counter

from bench.operations import all_operations
from bench.suite import in_turn

PEERS = ["barnabas", "kafka", "tansu"]


def test_each_peer_is_first_once_before_one_is_again() -> None:
    firsts = [in_turn(PEERS, "fetch-16p-none", repetition)[0] for repetition in range(3)]
    assert sorted(firsts) == PEERS
    assert in_turn(PEERS, "fetch-16p-none", 1) == in_turn(PEERS, "fetch-16p-none", 1)


def test_no_peer_is_first_everywhere() -> None:
    names = [operation.info.id for operation in all_operations()]
    firsts = Counter(in_turn(PEERS, name, 0)[0] for name in names)
    assert set(firsts) == set(PEERS)
    assert max(firsts.values()) < len(names) / 2
