"""examples/replay.py: records are stepped through, and the one that has done it is found."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import barnabas

PROGRAM = Path(__file__).parents[2] / "examples" / "replay.py"
BANK = """
import json

def apply(state, record):
    payment = json.loads(record.value)
    state[payment["from"]] = state.get(payment["from"], 10) - payment["amount"]
"""
PAYMENTS = [("anna", 4), ("boris", 9), ("anna", 5), ("anna", 3), ("boris", 1), ("boris", 1)]
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@pytest.fixture
def payments(barnabas_broker: barnabas.Broker, barnabas_topic: str) -> str:
    producer = barnabas_broker.producer()
    for minute, (name, amount) in enumerate(PAYMENTS):
        value = json.dumps({"from": name, "amount": amount})
        timestamp = int((BEGIN + timedelta(minutes=minute)).timestamp() * 1000)
        producer.send(barnabas_topic, value, key=name, timestamp=timestamp).result()
    return barnabas_topic


@pytest.fixture(params=["files", "cluster"])
def source(request: pytest.FixtureRequest, barnabas_broker: barnabas.Broker) -> str:
    if request.param == "files":
        return str(barnabas_broker.data_dir)
    return barnabas_broker.bootstrap_servers


def replay(source: str, topic: str, directory: Path, *commands: str, bank: str = BANK) -> list[str]:
    """What it says to the commands."""
    (directory / "bank.py").write_text(bank)
    program = [sys.executable, str(PROGRAM), source, topic, "--apply", "bank.py:apply"]
    done = subprocess.run(
        program,
        cwd=directory,
        input="".join(f"{command}\n" for command in commands),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.replace("(replay) ", "").splitlines() if line]


def line(offset: int) -> str:
    name, amount = PAYMENTS[offset]
    time = BEGIN + timedelta(minutes=offset)
    value = json.dumps({"from": name, "amount": amount}).encode()
    return f"{offset} {time:%FT%T.%f} {name.encode()!r}: {value!r}"


def test_the_breakpoint_finds_the_payment_that_was_too_much(
    source: str, payments: str, tmp_path: Path
) -> None:
    said = replay(
        source,
        payments,
        tmp_path,
        "break state.get('anna', 0) < 0",
        "continue",
        "print state",
        "back",
        "print state, json.loads(record.value)['amount']",
        "step 2",
        "break",
        "continue",
    )
    assert said == [
        line(3),
        "{'anna': -2, 'boris': 1}",
        line(2),
        "({'anna': 1, 'boris': 1}, 5)",
        line(3),
        line(4),
        "there are no more records",
    ]


def test_it_goes_to_a_time_and_to_an_offset(source: str, payments: str, tmp_path: Path) -> None:
    between = (BEGIN + timedelta(minutes=3, seconds=30)).isoformat()
    said = replay(
        source,
        payments,
        tmp_path,
        f"seek {between}",
        "step",
        "print state",
        "seek 1",
        "step",
        "back",
    )
    assert said == [line(4), "{'boris': 9}", line(1), "before the first record"]


def test_it_stops_where_apply_raises_and_where_a_command_is_wrong(
    source: str, payments: str, tmp_path: Path
) -> None:
    strict = BANK + "    assert state[payment['from']] >= 0, payment\n"
    said = replay(
        source, payments, tmp_path, "continue", "print no_such_name", "step", "quit", bank=strict
    )
    assert "AssertionError: {'from': 'anna', 'amount': 3}" in said
    assert said[said.index("AssertionError: {'from': 'anna', 'amount': 3}") + 1] == line(3)
    assert "NameError: name 'no_such_name' is not defined" in said
    assert said[-1] == line(4)
