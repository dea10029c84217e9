"""What `barnabas produce` makes of its input."""

import io
import json
from pathlib import Path

import pytest

from barnabas.cli import record_input
from barnabas.cli.failure import CommandError
from barnabas.cli.record_input import JSON_FORMAT, LineFormat, read_lines, read_whole
from barnabas.cli.record_json import RecordSyntaxError, bytes_field, headers_field, parse_record


def values(path: Path, delimiter: bytes = b"\n") -> list[bytes | None]:
    lines = read_lines([str(path)], LineFormat(None), delimiter)
    return [record.value for _, _, _, record in lines]


def test_a_record_a_line_whatever_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"a\n\n\xff\x00b\r\nlast")
    assert values(path) == [b"a", b"", b"\xff\x00b\r", b"last"]


@pytest.mark.parametrize("delimiter", [b"\0", b"||", b"\n\n"])
def test_another_delimiter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delimiter: bytes
) -> None:
    monkeypatch.setattr(record_input, "_READ_BYTES", 5)  # delimiters fall between two reads
    path = tmp_path / "input"
    expected = [b"first\n", b"", b"second | third", b"x" * 40]
    path.write_bytes(delimiter.join(expected).replace(b"\n" + delimiter, delimiter))
    assert values(path, delimiter) == [b"first", *expected[1:]]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.touch()
    assert values(path) == []
    assert values(path, b"\0") == []


def test_a_line_without_an_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_input, "MAX_RECORD_BYTES", 100)
    path = tmp_path / "input"
    path.write_bytes(b"x" * 100 + b"\n" + b"x" * 101)
    with pytest.raises(CommandError, match="line 2: longer than 100 B"):
        values(path)
    path.write_bytes(b"x" * 10_000)
    with pytest.raises(CommandError, match="line 1: longer than 100 B"):
        values(path, b"\0")
    with pytest.raises(CommandError, match="longer than 100 B"):
        list(read_whole([str(path)]))


def test_the_key_ends_at_the_first_separator() -> None:
    record = LineFormat(b":")(b"k:v:w")
    assert (record.key, record.value) == (b"k", b"v:w")
    assert LineFormat(b":")(b":").key == b""
    with pytest.raises(RecordSyntaxError, match="no key separator"):
        LineFormat(b":")(b"kv")


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "input.jsonl"
    path.write_text('{"value": "a"}\n\n{"value": \n')
    lines = read_lines([str(path)], JSON_FORMAT, b"\n")
    assert next(lines)[3].value == b"a"
    with pytest.raises(CommandError, match=r"input\.jsonl, line 3: not JSON"):
        next(lines)


def test_stdin_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\nb\n")))
    lines = read_lines(["-"], LineFormat(None), b"\n")
    assert [record.value for _, _, _, record in lines] == [b"a", b"b"]


def test_whole_files_are_records(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(path.name.encode() + b"\n\0\n")
    records = [record.value for _, _, _, record in read_whole([str(path) for path in paths])]
    assert records == [b"a\n\0\n", b"b\n\0\n"]


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"value": "grün"}, "grün".encode()),
        ({"value": None}, None),
        ({}, None),
        ({"value_base64": "/wA="}, b"\xff\0"),
        ({"value": {"a": [1, "ü"]}}, '{"a": [1, "ü"]}'.encode()),
        ({"value": 5}, b"5"),
        ({"value": ""}, b""),
    ],
)
def test_a_value_in_json(fields: dict[str, object], value: bytes | None) -> None:
    assert parse_record(json.dumps(fields).encode()).value == value


def test_headers_in_json_are_a_list_or_an_object() -> None:
    record = parse_record(b'{"headers": [{"key": "a", "value": "1"}, {"key": "a"}]}')
    assert record.headers == [("a", b"1"), ("a", None)]
    assert parse_record(b'{"headers": {"a": "1"}}').headers == [("a", b"1")]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"\xff",
        b'"text"',
        b'{"valeu": "typo"}',
        b'{"value": "a", "value_base64": "YQ=="}',
        b'{"value_base64": "not base64!"}',
        b'{"value_base64": 5}',
        b'{"partition": -1}',
        b'{"partition": "0"}',
        b'{"timestamp": 1.5}',
        b'{"timestamp": true}',
        b'{"headers": 5}',
        b'{"headers": [["a", "b"]]}',
        b'{"value": "\\ud800"}',
        b'{"headers": [{"key": "\\ud800", "value": "x"}]}',
        b'{"headers": {"\\udfff": "x"}}',
        b'{"headers": {"a\\u0000b": "x"}}',
        b'{"headers": {"k": "\\ud800"}}',
        b'{"partition": 2147483648}',
        b'{"timestamp": 9223372036854775808}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(RecordSyntaxError):
        parse_record(line)


def test_a_timestamp_of_zero_is_not_the_same_as_none() -> None:
    assert parse_record(b'{"timestamp": 0}').timestamp_ms == 0
    assert parse_record(b"{}").timestamp_ms is None
    assert parse_record(b'{"timestamp": null}').timestamp_ms is None


@pytest.mark.parametrize("data", [None, b"", b"text", "grün".encode(), b"\xff\xfe", bytes(256)])
def test_bytes_in_json_come_back(data: bytes | None) -> None:
    fields = dict((bytes_field("value", data), bytes_field("key", data)))
    record = parse_record(json.dumps(fields | {"headers": headers_field([("h", data)])}).encode())
    assert (record.key, record.value, record.headers) == (data, data, [("h", data)])
