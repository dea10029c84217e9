"""The directory of a partition is removed by somebody while it is served."""

import shutil
from pathlib import Path

import pytest

import barnabas


def test_a_partition_without_its_directory_says_so_at_the_roll_the_stop_and_the_start(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broker = barnabas.Broker(tmp_path / "d")
    for topic in ("t", "other"):
        broker.create_topic(topic, config={"internal.segment.bytes": 5000})
    with broker.producer() as producer:
        producer.send("t", b"first").result(20)
        shutil.rmtree(tmp_path / "d" / "t-0")
        errors = [producer.send("t", bytes(1000)).exception(20) for _ in range(10)]
        assert errors[0] is None, "as in Kafka: the files are open"
        assert all("KAFKA_STORAGE_ERROR (56): " in str(error) for error in errors[5:])
        assert all("No such file or directory" in str(error) for error in errors[5:])
        producer.send("other", bytes(1000)).result(20)
    with pytest.raises(barnabas.BarnabasError, match=r"not stopped cleanly: .*t-0/"):
        broker.close()
    capfd.readouterr()
    with barnabas.Broker(tmp_path / "d") as again:
        assert again.services.core.partition_info("t", 0).log_end_offset == 0
        assert again.services.core.partition_info("other", 0).log_end_offset == 1
    assert f"{tmp_path}/d/t-0: its directory is gone" in capfd.readouterr().err
