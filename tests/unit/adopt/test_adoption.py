"""`barnabas serve --adopt` as a user runs it, on directories as Apache Kafka leaves them."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import barnabas
from barnabas.adopt.image import TOPIC_RESOURCE
from unit.adopt import kraft_writer as kw
from unit.cli.test_serve import refusal, serving
from unit.wire import WireClient

A, B = bytes([1]) * 16, bytes([2]) * 16
POLICY_VIOLATION, UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE = 44, 3, 5
HEX = "0" * 32
ID_GAP = 1 << 40


@pytest.fixture
def kafka(tmp_path: Path) -> kw.DataDir:
    """Topic a of two partitions with a record in the first, b in another directory of Kafka's."""
    data_dir = kw.DataDir(tmp_path / "kafka")
    data_dir.partition("a-0", A, [b"one", b"two"])
    data_dir.partition("a-1", A)
    data_dir.log(
        kw.LEADER_CHANGE,
        [kw.topic("a", A), kw.partition(A, 0, leader_epoch=3), kw.partition(A, 1)],
        [kw.topic("b", B), kw.partition(B, 0, directories=(bytes(range(16)),))],
        [kw.config(TOPIC_RESOURCE, "a", "retention.ms", "-1"), kw.producer_ids(1000)],
    )
    return data_dir


@contextmanager
def broker(kafka: kw.DataDir, *options: str) -> Iterator[tuple[WireClient, Callable[[], str]]]:
    """A client of a broker on the directory; and what stops that cleanly and gives its stderr."""
    with serving("--data-dir", str(kafka.path), *options) as (process, address):

        def stop() -> str:
            process.terminate()
            _, stderr = process.communicate(timeout=30)
            assert process.returncode == 0, stderr
            return stderr

        with WireClient(address) as client:
            yield client, stop


def topics(client: WireClient) -> dict[str, Any]:
    found = client.ask("Metadata", 12, topics=None).topics
    return {topic.name: topic for topic in found}


def files(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def create(client: WireClient, name: str, **options: Any) -> Any:
    new = {"num_partitions": 1, "replication_factor": 1, "assignments": [], "configs": []}
    wish = [{"name": name, **new}]
    (result,) = client.ask("CreateTopics", 7, topics=wish, timeout=30_000, **options).topics
    return result


def refuse(kafka: kw.DataDir, *options: str) -> str:
    return refusal("--listen", "127.0.0.1:0", "--data-dir", str(kafka.path), *options)


def adopt_and_stop(kafka: kw.DataDir, *options: str) -> str:
    with broker(kafka, *(options or ("--adopt",))) as (_, stop):
        return stop()


def test_without_the_option_it_is_refused_by_name_and_nothing_is_touched(
    kafka: kw.DataDir,
) -> None:
    before = files(kafka.path)
    assert "serve --adopt" in refuse(kafka)
    with pytest.raises(barnabas.StartError, match="--adopt"):
        barnabas.Broker(kafka.path)
    assert files(kafka.path) == before


def test_topics_are_served_with_ids_epochs_and_settings(kafka: kw.DataDir) -> None:
    identity = (kafka.path / "meta.properties").read_bytes()
    metadata = files(kafka.metadata)
    with broker(kafka, "--adopt") as (client, stop):
        (topic,) = topics(client).values()
        assert (topic.name, topic.topic_id.bytes) == ("a", A)
        assert [p.leader_epoch for p in topic.partitions] == [3, 0]
        resources = [{"resource_type": 2, "resource_name": "a", "configuration_keys": None}]
        (described,) = client.ask("DescribeConfigs", 4, resources=resources).results
        (retention,) = [c for c in described.configs if c.name == "retention.ms"]
        assert (retention.value, retention.config_source) == ("-1", 1)
        assert client.ask("InitProducerId", 4).producer_id >= 1000 + ID_GAP
        stderr = stop()
    assert "adopting 1 topic, 2 partitions" in stderr
    assert "--config" in stderr  # where Kafka's own settings are
    with barnabas.Log(kafka.path / "a-0", read_only=True) as log:
        assert [record.value for record in log] == [b"one", b"two"]
    assert (kafka.path / "meta.properties").read_bytes() == identity
    assert files(kafka.metadata) == metadata


def test_what_kafka_would_not_know_is_refused(kafka: kw.DataDir) -> None:
    with broker(kafka, "--adopt") as (client, _):
        result = create(client, "new")
        assert result.error_code == POLICY_VIOLATION
        assert "--adopt-for-good" in result.error_message
        assert create(client, "new", validate_only=True).error_code == POLICY_VIOLATION
        wish = [{"name": "a", "count": 3, "assignments": None}]
        grown = client.ask("CreatePartitions", 3, topics=wish, timeout=30_000)
        assert grown.results[0].error_code == POLICY_VIOLATION
        doomed = [{"name": "a", "topic_id": None}]
        deleted = client.ask("DeleteTopics", 6, topics=doomed, timeout=30_000)
        assert deleted.responses[0].error_code == POLICY_VIOLATION
        for resource_type, name in ((2, "a"), (4, ""), (4, "1")):
            setting = {"name": "segment.ms", "config_operation": 0, "value": "5000"}
            resource = {"resource_type": resource_type, "resource_name": name}
            altered = client.ask(
                "IncrementalAlterConfigs", 1, resources=[{**resource, "configs": [setting]}]
            )
            assert altered.responses[0].error_code == POLICY_VIOLATION
        asked = client.ask("Metadata", 9, topics=[{"name": "auto"}], allow_auto_topic_creation=True)
        assert asked.topics[0].error_code == UNKNOWN_TOPIC
        assert set(topics(client)) == {"a"}


def test_for_good_topics_can_be_changed_until_told_otherwise(kafka: kw.DataDir) -> None:
    adopt_and_stop(kafka)
    with broker(kafka, "--adopt-for-good") as (client, stop):
        assert create(client, "new").error_code == 0
        stop()
    with broker(kafka) as (client, stop):
        assert create(client, "newer").error_code == 0
        stop()
    with broker(kafka, "--adopt") as (client, stop):
        assert set(topics(client)) == {"a", "new", "newer"}
        assert create(client, "newest").error_code == POLICY_VIOLATION


def test_groups_can_be_used_though_kafka_has_no_topic_for_them(kafka: kw.DataDir) -> None:
    with broker(kafka, "--adopt") as (client, stop):
        found = client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=["g"])
        assert found.coordinators[0].error_code == 0
        stderr = stop()
    assert "__consumer_offsets is made here: Apache Kafka will set it aside" in stderr


def test_after_kafka_has_run_again_it_must_be_adopted_again(kafka: kw.DataDir) -> None:
    adopt_and_stop(kafka)
    with broker(kafka) as (client, stop):  # needs no asking twice
        producer_id = client.ask("InitProducerId", 4).producer_id
        stop()
    log = next(kafka.metadata.glob("*.log"))
    more = kw.control(kw.LEADER_CHANGE, 8, 2) + kw.batch([kw.partition(A, 2)], 9, 2)
    log.write_bytes(log.read_bytes() + more)
    line = refuse(kafka)
    assert "has run on" in line
    assert "--adopt" in line
    with broker(kafka, "--adopt") as (client, stop):
        assert len(topics(client)["a"].partitions) == 3
        assert client.ask("InitProducerId", 4).producer_id > producer_id
        stop()
    log.write_bytes(log.read_bytes() + kw.batch([kw.remove_topic(A)], 10, 2))
    with broker(kafka, "--adopt") as (client, stop):
        assert topics(client) == {}
        stderr = stop()
    assert "topic a is not in Kafka's metadata: not served any more" in stderr
    assert (kafka.path / "a-0").is_dir()


def test_what_is_not_ours_stays_and_keeps_its_offsets(kafka: kw.DataDir) -> None:
    kafka.partition("b-0", B, [b"moved away"])
    kafka.partition("__share_group_state-0", bytes(16), [b"share"])
    kafka.partition(f"c-0.{HEX}-stray", B, [b"stray"])
    kafka.partition(f"d-0.{HEX}-future", B, [b"future"])
    kafka.partition(f"e-0.{HEX}-delete", B, [b"deleted"])
    for name, offset in (("recovery-point", 5), ("log-start", 2), ("replication", 4)):
        text = f"0\n2\nb 0 {offset}\na 1 0\n"
        (kafka.path / f"{name}-offset-checkpoint").write_text(text)
    left = {
        name: data
        for name, data in files(kafka.path).items()
        if name[:2] in ("b-", "c-", "d-", "__")
    }
    stderr = adopt_and_stop(kafka)
    assert "b-0: not this broker's by Kafka's metadata: left as it is" in stderr
    adopt_and_stop(kafka, "--log-level=info")  # without the option
    now = files(kafka.path)
    assert {name: data for name, data in now.items() if name in left} == left
    assert not list(kafka.path.glob("e-*"))
    for name, offset in (("recovery-point", 5), ("log-start", 2), ("replication", 4)):
        text = (kafka.path / f"{name}-offset-checkpoint").read_text()
        assert f"b 0 {offset}\n" in text


def test_log_starts_that_kafka_has_moved_since_are_taken(kafka: kw.DataDir) -> None:
    adopt_and_stop(kafka)
    checkpoint = kafka.path / "log-start-offset-checkpoint"
    checkpoint.write_text("0\n1\na 0 1\n")
    assert "log-start-offset-checkpoint: is not what was written there" in refuse(kafka)
    log = next(kafka.metadata.glob("*.log"))
    log.write_bytes(log.read_bytes() + kw.control(kw.LEADER_CHANGE, 8, 2))
    adopt_and_stop(kafka)
    assert "a 0 1\n" in checkpoint.read_text()


def test_a_future_copy_becomes_the_partition(kafka: kw.DataDir) -> None:
    shutil.move(kafka.path / "a-0", kafka.path / f"a-0.{HEX}-future")
    adopt_and_stop(kafka)
    with barnabas.Log(kafka.path / "a-0", read_only=True) as log:
        assert [record.value for record in log] == [b"one", b"two"]


def test_a_partition_elsewhere_is_offline_and_the_count_is_kafkas(kafka: kw.DataDir) -> None:
    log = next(kafka.metadata.glob("*.log"))
    elsewhere = kw.partition(A, 2, directories=(bytes(range(16)),))
    log.write_bytes(log.read_bytes() + kw.batch([elsewhere], 8))
    with broker(kafka, "--adopt") as (client, stop):
        partitions = topics(client)["a"].partitions
        assert [p.leader_id for p in partitions] == [1, 1, -1]
        assert [p.error_code for p in partitions] == [0, 0, LEADER_NOT_AVAILABLE]
        stop()
    assert not (kafka.path / "a-2").exists()


def test_the_node_id_is_that_of_the_directory(kafka: kw.DataDir) -> None:
    properties = kafka.path / "meta.properties"
    properties.write_text(properties.read_text().replace("node.id=1", "node.id=7"))
    assert "belongs to node 7" in refuse(kafka, "--adopt", "--set", "node.id=1")
    assert "no partitions of node 7" in refuse_controller(kafka)


def refuse_controller(kafka: kw.DataDir) -> str:
    for path in kafka.path.glob("a-*"):
        shutil.rmtree(path)
    return refuse(kafka, "--adopt")


def test_without_a_metadata_log_names_are_what_there_is(kafka: kw.DataDir) -> None:
    shutil.rmtree(kafka.metadata)
    assert "--adopt" in refuse(kafka)
    with broker(kafka, "--adopt") as (client, stop):
        (topic,) = topics(client).values()
        assert (topic.name, topic.topic_id.bytes, len(topic.partitions)) == ("a", A, 2)
        stderr = stop()
    assert "nothing of them is deleted or compacted" in stderr
    with broker(kafka) as (client, _):  # is known from now on
        assert set(topics(client)) == {"a"}


def test_the_metadata_log_may_be_in_another_directory_of_the_same_broker(
    kafka: kw.DataDir, tmp_path: Path
) -> None:
    other = kw.DataDir(tmp_path / "other")
    shutil.rmtree(other.metadata)
    shutil.move(kafka.metadata, other.metadata)
    properties = tmp_path / "server.properties"
    properties.write_text(f"log.dirs={other.path},{kafka.path}\n")
    with broker(kafka, "--adopt", "--config", str(properties)) as (client, stop):
        assert [p.leader_epoch for p in topics(client)["a"].partitions] == [3, 0]
        assert "no metadata log" not in stop()
    adopt_and_stop(kafka, "--log-level=info")
    other.log([kw.partition(A, 2)], base_offset=8)
    assert "has run on" in refuse(kafka)
    with broker(kafka, "--adopt") as (client, _):
        assert len(topics(client)["a"].partitions) == 3


def test_metadata_of_another_cluster_is_refused(kafka: kw.DataDir, tmp_path: Path) -> None:
    other = kw.DataDir(tmp_path / "other")
    shutil.rmtree(kafka.metadata)
    identity = other.path / "meta.properties"
    identity.write_text(identity.read_text().replace(kw.CLUSTER_ID, "another"))
    line = refuse(kafka, "--adopt", f"--set=metadata.log.dir={other.path}")
    assert "has the metadata of cluster another" in line


@pytest.mark.parametrize("is_dynamic", [True, False])
def test_a_quorum_that_may_know_better_is_told(kafka: kw.DataDir, is_dynamic: bool) -> None:
    state = kafka.metadata / "quorum-state"
    if is_dynamic:
        state.unlink()
        kafka.log(kw.KRAFT_VERSION, kw.VOTERS_OF_THREE, base_offset=8)
    else:
        voters = ",".join(f'{{"voterId":{number}}}' for number in (1, 2, 3))
        state.write_text(f'{{"currentVoters":[{voters}]}}')
    assert "that of 3 controllers" in adopt_and_stop(kafka)


def test_a_directory_of_ours_whose_store_is_lost_can_be_served_again(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    with barnabas.Broker(directory) as ours:
        ours.create_topic("t", partitions=2)
    for path in directory.glob("metadata.sqlite*"):
        path.unlink()
    with pytest.raises(barnabas.StartError, match="that file is lost"):
        barnabas.Broker(directory)
    arguments = ("--data-dir", str(directory), "--adopt-for-good")
    with serving(*arguments) as (_, address), WireClient(address) as client:
        assert len(topics(client)["t"].partitions) == 2
        assert create(client, "more").error_code == 0


def test_bad_metadata_ends_the_start_and_nothing_is_adopted(kafka: kw.DataDir) -> None:
    log = next(kafka.metadata.glob("*.log"))
    good = log.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    log.write_bytes(bad)
    assert "is corrupt at byte" in refuse(kafka, "--adopt")
    assert not (kafka.path / "metadata.sqlite").exists()
    log.write_bytes(good)
    adopt_and_stop(kafka)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ("version=0\nbroker.id=1\ncluster.id=c\n", 'version is "0", not 1'),
        ("version=1\nnode.id=1\n", "cluster.id is missing"),
        (None, "it has no meta.properties"),
    ],
)
def test_a_directory_that_says_not_whose_it_is_is_refused(
    kafka: kw.DataDir, properties: str | None, message: str
) -> None:
    path = kafka.path / "meta.properties"
    path.unlink()
    if properties is not None:
        path.write_text(properties)
    assert message in refuse(kafka, "--adopt")


def test_an_adoption_that_was_cut_short_has_to_be_asked_for_again(kafka: kw.DataDir) -> None:
    shutil.rmtree(kafka.metadata)
    adopt_and_stop(kafka)
    store = kafka.path / "metadata.sqlite"
    with sqlite3.connect(store) as connection:  # as a crash before the commit leaves it
        connection.execute("DELETE FROM document")
        connection.execute("UPDATE digest SET value = 0")
    connection.close()
    assert "no metadata.sqlite knows" in refuse(kafka)
    assert (kafka.path / "a-0").is_dir()
    with broker(kafka, "--adopt") as (client, _):
        assert set(topics(client)) == {"a"}
