"""A data directory goes from Apache Kafka to Barnabas and back, and nobody loses anything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.kafka_data import (
    COMPACTED,
    GROUP,
    KAFKA_CONFIG,
    MODERN_GROUP,
    TOPICS,
    Contents,
    committed,
    complaints,
    consume_with_the_consumer_protocol,
    describe,
    fill,
    latest_by_key,
    produce_every_codec,
    produce_keyed,
    read_all,
)
from clients.test_confluent_kafka import ConfluentClient
from peers.java import ToolShell
from peers.servers import BarnabasServer, KafkaServer, Server

pytestmark = [pytest.mark.java, pytest.mark.slow]


@pytest.fixture(scope="module")
def shell() -> Iterator[ToolShell]:
    with ToolShell() as started:
        yield started


def _end(server: Server, ending: str) -> None:
    if ending == "stop":
        server.stop()
    else:
        server.kill()


def _without_compacted(contents: Contents) -> Contents:
    return {where: records for where, records in contents.items() if where[0] != COMPACTED}


@pytest.mark.parametrize("barnabas_ends", ["stop", "kill"])
@pytest.mark.parametrize("kafka_ends", ["stop", "kill"])
def test_all_is_served_by_both_and_comes_back_with_what_was_added(
    tmp_path: Path, shell: ToolShell, kafka_ends: str, barnabas_ends: str
) -> None:
    with KafkaServer(tmp_path / "kafka", KAFKA_CONFIG) as kafka:
        fill(kafka)
        contents = read_all(kafka.bootstrap)
        stable = read_all(kafka.bootstrap, isolation="read_committed")
        assert stable != contents
        topics = describe(kafka.bootstrap)
        offsets = committed(kafka.bootstrap)
        modern = committed(kafka.bootstrap, MODERN_GROUP)
        _end(kafka, kafka_ends)
    data_dir = kafka.data_dir
    assert len(list((data_dir / "plain-0").glob("*.log"))) > 2
    if kafka_ends == "stop":
        assert complaints(shell, data_dir) == []
    assert list((data_dir / "__cluster_metadata-0").glob("*.checkpoint"))
    identity = (data_dir / "meta.properties").read_bytes()
    metadata = {p.name: p.read_bytes() for p in (data_dir / "__cluster_metadata-0").iterdir()}

    options = ("--adopt", f"--config={kafka.properties}")
    with BarnabasServer(tmp_path / "b", data_dir=data_dir, options=options) as barnabas:
        here = read_all(barnabas.bootstrap)
        assert _without_compacted(here) == _without_compacted(contents)
        assert latest_by_key(here[COMPACTED, 0]) == latest_by_key(contents[COMPACTED, 0])
        here = read_all(barnabas.bootstrap, isolation="read_committed")
        assert _without_compacted(here) == _without_compacted(stable)
        assert describe(barnabas.bootstrap) == topics
        assert {name: topics[name].partition_count for name in TOPICS} == {
            name: count for name, (count, _) in TOPICS.items()
        }
        assert committed(barnabas.bootstrap) == offsets
        assert offsets == {("plain", 0): 25}
        assert committed(barnabas.bootstrap, MODERN_GROUP) == modern == {("plain", 0): 15}
        produce_every_codec(barnabas.bootstrap, "plain")
        for topic in (COMPACTED, "grown", "empty", "transactional"):
            produce_keyed(barnabas.bootstrap, topic, 300)
        ConfluentClient().consume_in_group(barnabas.bootstrap, "plain", GROUP, 50)
        # Its consumers come back in the protocol that there is.
        ConfluentClient().consume_in_group(barnabas.bootstrap, "plain", MODERN_GROUP, 10)
        contents = read_all(barnabas.bootstrap)
        stable = read_all(barnabas.bootstrap, isolation="read_committed")
        offsets = committed(barnabas.bootstrap)
        assert offsets == {("plain", 0): 75}
        _end(barnabas, barnabas_ends)
    if barnabas_ends == "stop":
        assert complaints(shell, data_dir) == []
    assert (data_dir / "meta.properties").read_bytes() == identity
    assert metadata == {
        p.name: p.read_bytes() for p in (data_dir / "__cluster_metadata-0").iterdir()
    }

    with kafka:
        assert describe(kafka.bootstrap) == topics
        back = read_all(kafka.bootstrap, empty_answers=True)
        assert _without_compacted(back) == _without_compacted(contents)
        again = read_all(kafka.bootstrap, isolation="read_committed", empty_answers=True)
        assert _without_compacted(again) == _without_compacted(stable)
        assert latest_by_key(back[COMPACTED, 0]) == latest_by_key(contents[COMPACTED, 0])
        assert committed(kafka.bootstrap) == offsets
        assert committed(kafka.bootstrap, MODERN_GROUP) == {("plain", 0): 25}
        consume_with_the_consumer_protocol(kafka.bootstrap, "plain", 5)
        produce_every_codec(kafka.bootstrap, "plain")
        rest = ConfluentClient().consume_in_group(kafka.bootstrap, "plain", GROUP, 10)
        assert [r.value for r in rest] == [r[3] for r in back["plain", 0][75:85]]
        kafka.stop()
    assert complaints(shell, data_dir) == []
    assert list(data_dir.glob("*-stray")) == []
