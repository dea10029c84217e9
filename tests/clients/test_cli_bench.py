"""`barnabas bench` against a broker: its counts are what the broker holds, its latencies honest."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from clients.cli import TIMEOUT_S, Cli, run_on_terminal
from clients.contract import CODECS
from peers.processes import free_port, wait_until
from peers.servers import Server

Report = dict[str, Any]


@pytest.fixture
def cli(server: Server) -> Cli:
    return Cli(server.bootstrap)


@pytest.fixture
def topic(cli: Cli) -> str:
    return cli.new_topic()


def report_of(cli: Cli, *args: str) -> Report:
    (report,) = cli.ok("bench", *args, "--json").objects
    return report


def records_in(cli: Cli, topic: str) -> int:
    rows = cli.ok("topic", "describe", topic, "--json").objects
    return sum(partition["end"] for row in rows for partition in row["partitions"])


def read_values(server: Server, topic: str, count: int, partitions: int = 1) -> list[Any]:
    """All messages, as librdkafka reads them, CRCs checked."""
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": "bench-check",
            "check.crcs": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    messages: list[Any] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(messages) < count and time.monotonic() < deadline:
        messages += consumer.consume(10_000, timeout=0.5)
    messages += consumer.consume(1, timeout=0.2)
    consumer.close()
    assert all(message.error() is None for message in messages)
    return messages


@pytest.mark.parametrize("codec", CODECS)
def test_what_was_sent_is_what_a_client_reads(
    cli: Cli, server: Server, topic: str, codec: str
) -> None:
    report = report_of(
        cli, "produce", "--topic", topic, "--records", "3005", "--codec", codec,
        "--batch-records", "100", "--acks", "all",
    )  # fmt: skip
    assert (report["records"], report["requests"]) == (3005, 31)
    assert report["latency_samples"] == 3005
    messages = read_values(server, topic, 3005)
    assert [message.offset() for message in messages] == list(range(3005))
    assert {len(message.value()) for message in messages} == {100}
    assert all(message.key() is None for message in messages)
    assert abs(messages[0].timestamp()[1] / 1000 - time.time()) < 60


def test_counts_and_latencies_are_those_of_the_requests_the_broker_holds(cli: Cli) -> None:
    topic = cli.new_topic(4)
    report = report_of(
        cli, "produce", "--topic", topic, "--batch-records", "1", "--connections", "3",
        "--in-flight", "4", "--threads", "2", "--duration", "1", "--warm-up", "0",
    )  # fmt: skip
    assert report["requests"] == report["records"] == report["total_records"]
    assert report["latency_samples"] == report["requests"] > 100
    assert records_in(cli, topic) == report["records"]
    assert report["errors"] == {}


def test_the_warm_up_is_sent_but_does_not_count(cli: Cli, topic: str) -> None:
    report = report_of(
        cli, "produce", "--topic", topic, "--rate", "2000", "--warm-up", "0.5", "--duration", "1"
    )
    assert report["records"] == report["latency_samples"] == 2000
    assert report["total_records"] == records_in(cli, topic) == 3000


def test_acks_0_counts_what_was_sent(cli: Cli, topic: str) -> None:
    report = report_of(cli, "produce", "--topic", topic, "--acks", "0", "--records", "50000")
    assert report["records"] == 50_000
    wait_until(lambda: records_in(cli, topic) == 50_000, 10, "the broker to have them all")


def test_an_open_loop_holds_its_rate_and_lingers(cli: Cli, topic: str) -> None:
    report = report_of(
        cli, "produce", "--topic", topic, "--rate", "5000", "--linger-ms", "20",
        "--warm-up", "0.2", "--duration", "2",
    )  # fmt: skip
    assert report["records"] == 10_000
    assert report["records_per_s"] == pytest.approx(5000, rel=0.05)
    assert report["requests"] <= 110, "about 100 records a request"
    # The first record of a batch waits for 20 ms, the last for none.
    assert 5 < report["latency_ms"]["p50"] < 40
    assert report["latency_ms"]["p90"] > 15


def test_a_stalled_broker_is_charged_with_all_that_was_due_meanwhile(
    cli: Cli, server: Server, topic: str
) -> None:
    def stall() -> None:
        time.sleep(1.5)
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(server.pid, signal.SIGCONT)

    command = cli.command(
        "bench", "produce", "--topic", topic, "--rate", "1000", "--warm-up", "0",
        "--duration", "4", "--json",
    )  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    wait_until(lambda: records_in(cli, topic) > 0, 20, "the load to begin")
    staller = threading.Thread(target=stall)
    staller.start()
    out, _ = process.communicate(timeout=TIMEOUT_S)
    staller.join()
    report = json.loads(out)
    assert report["records"] == 4000
    assert 900 < report["latency_ms"]["max"] < 2500
    # A thousand of the four thousand were due during the stall, and half of them waited for half
    # of it; a closed loop would have seen one slow request.
    assert report["latency_ms"]["p90"] > 500


def test_keys_go_where_kafkas_partitioner_sends_them(cli: Cli, server: Server) -> None:
    topic = cli.new_topic(3)
    report_of(
        cli, "produce", "--topic", topic, "--records", "20000", "--keys", "50",
        "--key-distribution", "zipf",
    )  # fmt: skip
    messages = read_values(server, topic, 20_000, partitions=3)
    by_key: dict[bytes, set[int]] = {}
    for message in messages:
        by_key.setdefault(message.key(), set()).add(message.partition())
    assert all(len(partitions) == 1 for partitions in by_key.values())
    counts = Counter(message.key() for message in messages)
    assert counts.most_common(1)[0][0] == b"key-00000000"
    other = cli.new_topic(3)
    keys = sorted(by_key)
    lines = b"".join(key + b":v\n" for key in keys)
    cli.ok("produce", other, "--key-separator", ":", stdin=lines)  # murmur2, by librdkafka
    for message in read_values(server, other, len(keys), partitions=3):
        assert by_key[message.key()] == {message.partition()}


def test_consume_counts_all_records_once(cli: Cli) -> None:
    topic = cli.new_topic(3)
    sent = report_of(cli, "produce", "--topic", topic, "--records", "100000", "--codec", "lz4")
    for options in (["--verify"], ["--verify", "--connections", "3"], ["--connections", "3"]):
        report = report_of(cli, "consume", "--topic", topic, *options)
        assert report["records"] == 100_000
        assert report["bytes"] == sent["bytes"]
        assert report["latency_of"] == "request"
        assert report["latency_samples"] == report["requests"]


@pytest.mark.parametrize("verify", [[], ["--verify"]])
def test_consume_counts_large_batches_that_it_looks_at_or_drops(
    cli: Cli, verify: list[str]
) -> None:
    topic = cli.new_topic(2)
    sent = report_of(
        cli, "produce", "--topic", topic, "--records", "50000", "--record-size", "1000",
        "--batch-size", "200000",
    )  # fmt: skip
    report = report_of(cli, "consume", "--topic", topic, *verify)
    assert report["records"] == 50_000
    assert report["bytes"] == sent["bytes"]
    assert report["corrupt_batches"] == 0


def test_consume_in_small_answers_counts_no_batch_twice(cli: Cli, topic: str) -> None:
    report_of(cli, "produce", "--topic", topic, "--records", "20000")
    report = report_of(
        cli, "consume", "--topic", topic, "--max-partition-bytes", "20000", "--max-bytes", "40000"
    )
    assert report["records"] == 20_000


def test_consume_repeats_until_its_time_is_over(cli: Cli, topic: str) -> None:
    report_of(cli, "produce", "--topic", topic, "--records", "20000")
    report = report_of(
        cli, "consume", "--topic", topic, "--repeat", "--duration", "1", "--warm-up", "0"
    )
    assert report["records"] > 40_000
    assert report["elapsed_s"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_end_to_end_sees_every_record(cli: Cli, codec: str) -> None:
    topic = cli.new_topic(3)
    report_of(cli, "produce", "--topic", topic, "--records", "1000")  # not its own
    report = report_of(
        cli, "end-to-end", "--topic", topic, "--rate", "2000", "--connections", "2",
        "--warm-up", "0.3", "--duration", "1", "--codec", codec,
    )  # fmt: skip
    assert report["records"] == report["latency_samples"] == 2000
    assert report["total_records"] == 2600
    assert report["lost_records"] == 0
    assert 0 < report["latency_ms"]["p50"] < 1000
    assert records_in(cli, topic) == 3600


def test_topics_are_made_when_told(cli: Cli, topic: str) -> None:
    args = ("produce", "--topic", topic, "--topics", "2", "--records", "3000")
    assert f"topic {topic}-0 does not exist" in cli.fails("bench", *args)
    create = (*args, "--create", "--partitions", "2", "--config", "retention.ms=60000")
    assert report_of(cli, *create)["partitions"] == 4
    assert records_in(cli, f"{topic}-0") + records_in(cli, f"{topic}-1") == 3000
    report_of(cli, *create)
    error = cli.fails("bench", *args, "--create", "--partitions", "3")
    assert f"topic {topic}-0 exists already and has 2 partitions, not 3" in error


def test_errors_of_the_broker_are_counted_by_name(cli: Cli) -> None:
    topic = cli.new_topic(1, "--config", "max.message.bytes=1000")
    run = cli.run("bench", "produce", "--topic", topic, "--records", "1480", "--json")
    assert run.exit_code == 1
    (report,) = run.objects
    assert report["errors"] == {"MSG_SIZE_TOO_LARGE": 10}
    assert report["records"] == report["latency_samples"] == 0


def test_an_unknown_topic_is_one_line(cli: Cli) -> None:
    assert "topic no-such-topic does not exist" in cli.fails(
        "bench", "consume", "--topic", "no-such-topic"
    )


def test_an_empty_topic_has_nothing_to_fetch(cli: Cli, topic: str) -> None:
    assert "there is nothing to fetch" in cli.fails("bench", "consume", "--topic", topic)


def test_an_unreachable_broker_is_one_line() -> None:
    nobody = Cli(f"127.0.0.1:{free_port()}")
    assert "cannot reach a Kafka broker" in nobody.fails(
        "bench", "produce", "--connect-timeout", "1"
    )


def test_a_process_that_is_not_there_is_one_line(cli: Cli) -> None:
    error = cli.fails("bench", "produce", "--broker-pid", "4194305")
    assert "--broker-pid 4194305: no such process" in error


@pytest.fixture
def short_lived(server: Server, cli: Cli) -> Iterator[Server]:
    """The server, which the test may kill."""
    yield server
    if server.child is None:
        server.start()


def test_a_broker_that_goes_away_is_one_line(short_lived: Server, cli: Cli, topic: str) -> None:
    process = subprocess.Popen(
        cli.command("bench", "produce", "--topic", topic, "--duration", "60"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(lambda: records_in(cli, topic) > 0, 20, "the load to begin")
    short_lived.kill()
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert out == b""
    assert re.fullmatch(r"barnabas: .*connection.*\n", err.decode()), err


def interrupted(cli: Cli, topic: str, *options: str) -> tuple[bytes, bytes]:
    """What a load says that has written a hundred records and then gets Ctrl-C: stdout, stderr."""
    process = subprocess.Popen(
        cli.command("bench", "produce", "--topic", topic, *options),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(lambda: records_in(cli, topic) > 100, 20, "the load to run")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    return said


def test_an_interrupt_ends_the_load_with_its_report(cli: Cli, topic: str) -> None:
    out, err = interrupted(
        cli, topic, "--duration", "60", "--json", "--warm-up", "0", "--rate", "1000"
    )
    assert err == b""
    report = json.loads(out)
    assert report["records"] == records_in(cli, topic)
    assert report["records_per_s"] == pytest.approx(1000, rel=0.1)
    assert [note.split()[0] for note in report["notes"]] == ["interrupted"]


def test_an_interrupt_of_the_warm_up_says_that_nothing_was_measured(cli: Cli, topic: str) -> None:
    _, err = interrupted(cli, topic, "--warm-up", "60")
    assert b"interrupted while it warmed up: nothing was measured" in err


def test_usage_of_the_broker_is_shown(cli: Cli, server: Server, topic: str) -> None:
    report = report_of(
        cli, "produce", "--topic", topic, "--duration", "1", "--broker-pid", str(server.pid)
    )
    assert report["broker"]["cpu_s"] > 0
    assert report["broker"]["rss_bytes"] > 10_000_000
    assert report["client"]["cpu_s_per_gb"] > 0


def test_the_hdr_log_holds_every_latency(cli: Cli, topic: str, tmp_path: Path) -> None:
    path = tmp_path / "latency.hdr"
    report = report_of(
        cli, "produce", "--topic", topic, "--rate", "1000", "--warm-up", "0.5", "--duration", "2.5",
        "--hdr-out", str(path),
    )  # fmt: skip
    reader = HistogramLogReader(str(path), HdrHistogram(1, 3600 * 10**9, 3))
    counts = []
    while (interval := reader.get_next_interval_histogram()) is not None:
        counts.append(interval.get_total_count())
    reader.close()
    assert sum(counts) == report["latency_samples"] == 2500
    assert len(counts) == 3, "a line a second"
    error = cli.fails("bench", "produce", "--topic", topic, "--hdr-out", str(tmp_path / "no" / "f"))
    assert "No such file or directory" in error


def test_a_terminal_shows_progress_and_a_table(cli: Cli, topic: str) -> None:
    command = cli.command(
        "bench", "produce", "--topic", topic, "--duration", "1.5", "--warm-up", "0"
    )
    exit_code, shown = run_on_terminal(command)
    assert exit_code == 0
    assert re.search(r"1 of 2 s: [\d,]+ requests/s", shown)
    assert "latency of a record, p99" in shown
