"""The broker loop over a socket: every API in every version is answered, and nobody hangs."""

import struct

import pytest
from kio.serial import entity_reader

import barnabas
from barnabas.protocol.apis import APIS, Api
from barnabas.protocol.codec import schema_class
from unit.wire import API_BY_NAME, WireClient, is_flexible

CONTROL_VERSIONS = [
    pytest.param(api, version, id=f"{api.name}-{version}")
    for api in APIS
    if not api.is_native
    for version in range(api.min_version, api.max_version + 1)
]


@pytest.mark.parametrize(("api", "version"), CONTROL_VERSIONS)
def test_a_request_of_zeroes_is_answered(
    broker: barnabas.Broker, api: Api, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        client.ask(api.name, version)
    assert not [record for record in caplog.records if record.exc_info]


def test_api_versions_in_an_unknown_version_is_answered_in_version_0(
    broker: barnabas.Broker,
) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        client.send_frame(18, 99, b"\x04abc\x041.0\0", True)
        frame = client.receive_raw()
        answer, size = entity_reader(schema_class(API_BY_NAME["ApiVersions"], 0, "response"))(
            frame, 4
        )
        assert 4 + size == len(frame)
        assert answer.error_code.name == "unsupported_version"
        assert [(k.api_key, k.min_version, k.max_version) for k in answer.api_keys] == [(18, 0, 4)]
        # The connection is still good for the version the client now knows.
        assert client.ask("ApiVersions", 0).error_code == 0


@pytest.mark.parametrize(("key", "version"), [(3, 14), (3, -1), (2, 0), (4, 0), (999, 0), (-1, 0)])
def test_an_api_or_version_that_is_not_served_closes_the_connection(
    broker: barnabas.Broker, key: int, version: int
) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        client.send_frame(key, version, b"", False)
        assert client.is_closed_by_peer()
    with WireClient(broker.bootstrap_servers) as other:
        assert other.ask("ApiVersions", 0).error_code == 0


@pytest.mark.parametrize(
    ("api", "version"),
    # Not those with few or no fields: hardly any bytes are wrong.
    [p for p in CONTROL_VERSIONS if p.values[0].key not in (16, 18, 60, 74)],  # type: ignore
)
def test_a_message_that_is_no_request_closes_the_connection(
    broker: barnabas.Broker, api: Api, version: int
) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        client.send_frame(api.key, version, b"\xff" * 3, is_flexible(api, version))
        assert client.is_closed_by_peer()


def test_requests_in_flight_are_answered_in_order(broker: barnabas.Broker) -> None:
    """Also when the first waits for a disk and the second does not."""
    create, versions = API_BY_NAME["CreateTopics"], API_BY_NAME["ApiVersions"]
    topic = b"\0\1o" + struct.pack(">ihii", 1, 1, 0, 0)
    message = struct.pack(">i", 1) + topic + struct.pack(">i?", 10_000, False)
    with WireClient(broker.bootstrap_servers) as client:
        client.send(create, 2, message)
        client.send(versions, 0, b"")
        first, second = client.receive_raw(), client.receive_raw()
    assert struct.unpack_from(">i", first)[0] == 1
    assert struct.unpack_from(">i", second)[0] == 2


def test_a_flexible_request_without_a_client_id_still_has_a_tag_buffer(
    broker: barnabas.Broker,
) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        client.send_raw(struct.pack(">hhih", 3, 9, 5, -1) + b"\0" + b"\x01\x01\0\0\0"[1:] + b"\0")
        frame = client.receive_raw()
        assert struct.unpack_from(">i", frame)[0] == 5
