"""Directories of Apache Kafka that are not the simple case."""

import shutil
import time
from pathlib import Path

import pytest
from confluent_kafka import IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewTopic

from barnabas import Log
from clients.kafka_data import (
    COMPACTED,
    KAFKA_CONFIG,
    committed,
    describe,
    fill,
    produce_keyed,
    read_all,
)
from peers.processes import ProcessFailedError, wait_until
from peers.servers import BarnabasServer, KafkaServer

pytestmark = pytest.mark.java

TIMEOUT_S = 30
SPREAD = 6  # partitions, of which each directory gets some


def create(bootstrap: str, name: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)


def delete(bootstrap: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([name])[name].result(30)


def test_a_directory_that_kafka_runs_on_is_refused(tmp_path: Path) -> None:
    with KafkaServer(tmp_path / "kafka", KAFKA_CONFIG) as kafka:
        barnabas = BarnabasServer(tmp_path / "b", data_dir=kafka.data_dir, options=["--adopt"])
        with pytest.raises(ProcessFailedError, match="in use by another process"):
            barnabas.start()
        assert not (kafka.data_dir / "metadata.sqlite").exists()
        create(kafka.bootstrap, "t", 1)  # which goes on


def test_each_of_two_directories_is_served_and_kafka_has_both_back(tmp_path: Path) -> None:
    directories = [tmp_path / "kafka" / "data", tmp_path / "kafka" / "more"]
    log_dirs = ",".join(map(str, directories))
    with KafkaServer(tmp_path / "kafka", {**KAFKA_CONFIG, "log.dirs": log_dirs}) as kafka:
        create(kafka.bootstrap, "spread", 6)
        produce_keyed(kafka.bootstrap, "spread", 200)
        contents = read_all(kafka.bootstrap)
        topics = describe(kafka.bootstrap)
        kafka.stop()
    options = ("--adopt", f"--config={kafka.properties}")
    found = {}
    for directory in directories:
        with BarnabasServer(tmp_path / "b", data_dir=directory, options=options) as barnabas:
            described = describe(barnabas.bootstrap)
            assert described["spread"] == topics["spread"]
            here = read_all(barnabas.bootstrap)
            assert {f"{topic}-{number}" for topic, number in here} == {
                path.name for path in directory.glob("spread-*")
            }
            assert 0 < len(here) < len(contents)
            found.update(here)
            barnabas.stop()
    assert found == contents
    with kafka:
        assert describe(kafka.bootstrap)["spread"] == topics["spread"]
        assert read_all(kafka.bootstrap) == contents


def ends(bootstrap: str, topic: str) -> list[tuple[int, int]]:
    """(high watermark, last stable offset) of each partition that is served."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(SPREAD)}
    found = []
    for isolation in (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED):
        futures = admin.list_offsets(asked, isolation_level=isolation, request_timeout=TIMEOUT_S)
        served = [future for future in futures.values() if future.exception(TIMEOUT_S) is None]
        found.append([future.result().offset for future in served])
    return list(zip(*found, strict=True))


def test_a_transaction_with_records_in_the_other_directory_is_kafkas_to_end(
    tmp_path: Path,
) -> None:
    """It would take a partition that was nobody's for one that needs no marker."""
    directories = [tmp_path / "kafka" / "data", tmp_path / "kafka" / "more"]
    config = {
        **KAFKA_CONFIG,
        "log.dirs": ",".join(map(str, directories)),
        "transaction.state.log.num.partitions": "1",
    }
    quickly = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "200"}
    with KafkaServer(tmp_path / "kafka", config) as kafka:
        create(kafka.bootstrap, "spread", SPREAD)
        settings: dict[str, str | int] = {
            "bootstrap.servers": kafka.bootstrap,
            "transactional.id": "x",
            "transaction.timeout.ms": 2_000,
        }
        producer = Producer(settings)
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        for number in range(SPREAD):
            producer.produce("spread", b"open", partition=number)
        assert producer.flush(TIMEOUT_S) == 0
        kafka.kill()
        (home,) = (path for path in directories if (path / "__transaction_state-0").exists())
        options = ("--adopt", f"--config={kafka.properties}")
        with BarnabasServer(tmp_path / "b", quickly, data_dir=home, options=options) as barnabas:
            time.sleep(3)  # until it has been open for too long
            assert set(ends(barnabas.bootstrap, "spread")) == {(1, 0)}
            barnabas.stop()
        kafka.start()
        wait_until(
            lambda: ends(kafka.bootstrap, "spread") == [(2, 2)] * SPREAD,
            TIMEOUT_S,
            "an end of the transaction",
        )


def test_two_directories_at_once_are_refused_and_left_as_they_were(
    tmp_path: Path,
) -> None:
    directories = [tmp_path / "kafka" / "data", tmp_path / "kafka" / "more"]
    log_dirs = ",".join(map(str, directories))
    with KafkaServer(tmp_path / "kafka", {**KAFKA_CONFIG, "log.dirs": log_dirs}) as kafka:
        create(kafka.bootstrap, "spread", 6)
        produce_keyed(kafka.bootstrap, "spread", 200)
        kafka.stop()
        names = [sorted(path.rglob("*")) for path in directories]
        both = BarnabasServer(tmp_path / "b", {"log.dirs": log_dirs}, options=["--adopt"])
        with pytest.raises(ProcessFailedError) as refused:
            both.start()
        for advice in ("--data-dir says which", "kafka-reassign-partitions.sh"):
            assert advice in str(refused.value)
        assert [sorted(path.rglob("*")) for path in directories] == names


def test_without_metadata_all_is_there_also_what_a_killed_kafka_had_compacted(
    tmp_path: Path,
) -> None:
    with KafkaServer(tmp_path / "kafka", KAFKA_CONFIG) as kafka:
        fill(kafka)
        contents = read_all(kafka.bootstrap)
        offsets = committed(kafka.bootstrap)
        ids = {name: topic.topic_id for name, topic in describe(kafka.bootstrap).items()}
        kafka.kill()
    shutil.rmtree(kafka.data_dir / "__cluster_metadata-0")
    options = ["--adopt"]
    with BarnabasServer(tmp_path / "b", data_dir=kafka.data_dir, options=options) as barnabas:
        assert read_all(barnabas.bootstrap) == contents
        assert committed(barnabas.bootstrap) == offsets
        topics = describe(barnabas.bootstrap)
        assert {name: topic.topic_id for name, topic in topics.items()} == ids
        produce_keyed(barnabas.bootstrap, COMPACTED, 100)
        contents = read_all(barnabas.bootstrap)
        barnabas.kill()
        barnabas.options.clear()
        barnabas.start()
        assert read_all(barnabas.bootstrap) == contents


def test_after_an_adoption_for_good_kafka_goes_by_what_it_knows(tmp_path: Path) -> None:
    with KafkaServer(tmp_path / "kafka", KAFKA_CONFIG) as kafka:
        for topic in ("known", "doomed"):
            create(kafka.bootstrap, topic, 1)
            produce_keyed(kafka.bootstrap, topic, 50)
        kafka.stop()
    options = ["--adopt-for-good"]
    with BarnabasServer(tmp_path / "b", data_dir=kafka.data_dir, options=options) as barnabas:
        create(barnabas.bootstrap, "new", 1)
        delete(barnabas.bootstrap, "doomed")
        for topic in ("known", "new"):
            produce_keyed(barnabas.bootstrap, topic, 50)
        contents = read_all(barnabas.bootstrap)
        written = (kafka.data_dir / "new-0" / f"{0:020}.log").read_bytes()
        barnabas.stop()
    with kafka:
        assert read_all(kafka.bootstrap) == {
            ("known", 0): contents["known", 0],
            ("doomed", 0): [],
        }
        kafka.stop()
    (stray,) = kafka.data_dir.glob("new-0.*-stray")
    assert (stray / f"{0:020}.log").read_bytes() == written
    # What Kafka knows counts again.
    with BarnabasServer(tmp_path / "b", data_dir=kafka.data_dir, options=options) as barnabas:
        assert set(read_all(barnabas.bootstrap)) == {("known", 0), ("doomed", 0)}
        create(barnabas.bootstrap, "new", 1)
        assert read_all(barnabas.bootstrap)["new", 0] == []


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_an_idempotent_producer_goes_on_through_both_brokers(tmp_path: Path, ending: str) -> None:
    kafka = KafkaServer(tmp_path / "kafka", KAFKA_CONFIG)
    with kafka:
        create(kafka.bootstrap, "t", 1)
        producer = Producer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "enable.idempotence": True,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )
        errors: list[object] = []
        sent: list[bytes] = []

        def produce() -> None:
            for _ in range(100):
                value = b"%d" % len(sent)
                producer.produce(
                    "t", value, on_delivery=lambda e, _: errors.append(e) if e else None
                )
                sent.append(value)
                producer.flush(30)

        produce()
        getattr(kafka, ending)()
        barnabas = BarnabasServer(tmp_path / "b", data_dir=kafka.data_dir, options=["--adopt"])
        barnabas.port = kafka.port
        with barnabas:
            produce()
            getattr(barnabas, ending)()
        kafka.start()
        produce()
        assert errors == []
        records = read_all(kafka.bootstrap)["t", 0]
        assert [record[3] for record in records] == sent
        kafka.stop()
    # One producer id all along: nobody has given the producer another.
    log = Log(kafka.data_dir / "t-0", read_only=True)
    assert len({batch.producer_id for batch in log.batches()}) == 1
