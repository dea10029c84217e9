"""A handler that fails: the client is told, or cut off; it never waits for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import barnabas
from barnabas.handlers import describe_cluster, list_groups, metadata
from barnabas.handlers.call import Call, Response
from unit.wire import WireClient


def failing(_: Call) -> Response:
    raise RuntimeError("a bug")


async def failing_later(_: Call) -> bytes:
    await asyncio.sleep(0)
    raise RuntimeError("a bug")


@pytest.mark.parametrize("handle", [failing, failing_later], ids=["at-once", "later"])
@pytest.mark.parametrize(
    ("module", "name"), [(describe_cluster, "DescribeCluster"), (list_groups, "ListGroups")]
)
def test_the_client_is_told(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: Any,
    name: str,
    handle: Callable[[Call], Response | Awaitable[bytes]],
) -> None:
    monkeypatch.setattr(module, "handle", handle)
    with barnabas.Broker() as broker, WireClient(broker.bootstrap_servers) as client:
        assert client.ask(name, 0).error_code.name == "unknown_server_error"
        assert client.ask("ApiVersions", 0).error_code == 0
    (record,) = [record for record in caplog.records if record.exc_info]
    assert name in record.getMessage()


def test_a_client_that_cannot_be_told_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "handle", failing)
    monkeypatch.setattr(metadata, "error_response", failing)
    with barnabas.Broker() as broker:
        with WireClient(broker.bootstrap_servers) as client, pytest.raises(ConnectionError):
            client.ask("Metadata", 9, topics=[])
        with WireClient(broker.bootstrap_servers) as other:
            assert other.ask("ApiVersions", 0).error_code == 0
