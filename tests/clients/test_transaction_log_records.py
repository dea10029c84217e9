"""What we write to `__transaction_state`, as Kafka's own tool reads it."""

import json
from pathlib import Path

import pytest

from clients.test_transactions import ConfluentClient
from clients.transactions import new_id, new_topic, until
from peers.java import ToolShell
from peers.servers import BarnabasServer

EMPTY, ONGOING, PREPARE_COMMIT, COMPLETE_COMMIT = 0, 1, 2, 4  # TransactionStatus


@pytest.mark.java
def test_kafkas_dump_tool_reads_our_transaction_log(tmp_path: Path) -> None:
    transactional_id = new_id()
    config = {"transaction.state.log.num.partitions": "1"}
    with BarnabasServer(tmp_path, config) as server:
        topic = new_topic(server, 2)
        with ConfluentClient(server.bootstrap) as client:
            client.ok(f"init a {transactional_id} 60000")
            client.ok("begin a")
            client.ok(f"send a {topic} 0 v")
            client.ok(f"send a {topic} 1 v")
            client.ok("commit a")
        (log,) = (server.data_dir / "__transaction_state-0").glob("*.log")
        until(lambda: log.stat().st_size > 0)
        server.stop()
        with ToolShell() as shell:
            dumped = shell.dump_log_segments([log], "--transaction-log-decoder")
    values = [
        json.loads(line.split("payload: ", 1)[1])["data"]
        for line in dumped.splitlines()
        if f'"transactionalId":"{transactional_id}"' in line
    ]
    states = [value["transactionStatus"] for value in values]
    assert states == [EMPTY, ONGOING, ONGOING, PREPARE_COMMIT, COMPLETE_COMMIT], dumped
    assert values[-2]["transactionPartitions"] == [{"topic": topic, "partitionIds": [0, 1]}]
    assert values[-1]["transactionPartitions"] == []
