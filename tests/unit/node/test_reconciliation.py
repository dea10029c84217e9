"""The store and the directories at start: the store counts, and nobody's data is deleted."""

import shutil
from pathlib import Path

import pytest

import barnabas
from barnabas.metadata.records import Tombstone
from barnabas.metadata.sqlite import FILE_NAME, SqliteStore
from barnabas.metadata.store import Put
from barnabas.testing import faults
from unit.wire import WireClient


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The directory of a stopped broker with one topic of two partitions."""
    directory = tmp_path / "d"
    with barnabas.Broker(directory) as broker:
        broker.create_topic("t", partitions=2)
    return directory


def partitions(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.is_dir()}


def test_a_missing_directory_is_made_again(data_dir: Path) -> None:
    shutil.rmtree(data_dir / "t-1")
    with barnabas.Broker(data_dir):
        assert partitions(data_dir) == {"t-0", "t-1"}


def test_an_unknown_directory_is_set_aside_with_all_that_is_in_it(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(data_dir / "t-0", data_dir / "somebody-3")
    contents = {path.name: path.read_bytes() for path in (data_dir / "somebody-3").iterdir()}
    with barnabas.Broker(data_dir):
        (stray,) = partitions(data_dir) - {"t-0", "t-1"}
        assert stray.startswith("somebody-3")
        assert stray.endswith("-stray")
        kept = {path.name: path.read_bytes() for path in (data_dir / stray).iterdir()}
        assert kept == contents
    (warning,) = [
        r.getMessage() for r in caplog.records if r.name == "barnabas.metadata.reconciliation"
    ]
    assert "somebody-3" in warning
    assert stray in warning
    with barnabas.Broker(data_dir) as broker:  # it is not looked at any more, nor in the way
        broker.create_topic("somebody", partitions=4)


def test_a_deletion_that_was_cut_short_is_finished(data_dir: Path) -> None:
    shutil.copytree(data_dir / "t-0", data_dir / "gone-0")
    (data_dir / "gone-0" / "partition.metadata").unlink()  # as a power cut may
    store = SqliteStore(data_dir / FILE_NAME)
    tombstone = Tombstone("gone", bytes(range(16)), 1)
    store.commit([Put(tombstone.path, tombstone.encode())])
    store.close()
    with barnabas.Broker(data_dir) as broker:
        assert partitions(data_dir) == {"t-0", "t-1"}
        broker.create_topic("gone")
    with barnabas.Broker(data_dir):
        assert "gone-0" in partitions(data_dir)


def test_the_store_of_another_cluster_is_refused(data_dir: Path, tmp_path: Path) -> None:
    with barnabas.Broker(tmp_path / "other"):
        pass
    shutil.copy(tmp_path / "other" / FILE_NAME, data_dir / FILE_NAME)
    with pytest.raises(barnabas.StartError, match="cluster"):
        barnabas.Broker(data_dir)


def test_a_topic_document_that_cannot_be_read_is_refused(data_dir: Path) -> None:
    store = SqliteStore(data_dir / FILE_NAME)
    store.commit([Put("/topics/t", b"{}")])
    store.close()
    with pytest.raises(barnabas.StartError, match="topic t"):
        barnabas.Broker(data_dir)


@pytest.mark.parametrize("tombstoned", [True, False])
def test_a_directory_that_cannot_be_moved_does_not_end_the_start(
    data_dir: Path,
    tombstoned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(data_dir / "t-0", data_dir / "stuck-0")
    (data_dir / "stuck-0" / "partition.metadata").unlink()
    tombstone = Tombstone("stuck", bytes(range(16)), 1)
    if tombstoned:
        store = SqliteStore(data_dir / FILE_NAME)
        store.commit([Put(tombstone.path, tombstone.encode())])
        store.close()
    with faults.fail("rename", f"{data_dir}/stuck-0"), barnabas.Broker(data_dir):
        assert partitions(data_dir) == {"t-0", "t-1", "stuck-0"}
    (error,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert str(data_dir / "stuck-0") in error
    with barnabas.Broker(data_dir):  # tries again
        left = partitions(data_dir) - {"t-0", "t-1"}
        assert [name for name in left if not name.endswith("-stray")] == []
        assert len(left) == (0 if tombstoned else 1)


def test_deletions_that_a_stop_has_overtaken_are_finished_at_the_next_start(
    data_dir: Path,
) -> None:
    names = [f"gone-{number}" for number in range(100)]
    with barnabas.Broker(data_dir) as broker, WireClient(broker.bootstrap_servers) as client:
        new = {"num_partitions": 4, "replication_factor": 1, "assignments": [], "configs": []}
        topics = [{"name": name, **new} for name in names]
        client.ask("CreateTopics", 7, topics=topics, timeout=60_000)
        doomed = [{"name": name, "topic_id": None} for name in names]
        answers = client.ask("DeleteTopics", 6, topics=doomed, timeout=60_000).responses
        assert {answer.error_code for answer in answers} == {0}
    with barnabas.Broker(data_dir) as broker:
        assert partitions(data_dir) == {"t-0", "t-1"}
        broker.create_topic("gone-7")
