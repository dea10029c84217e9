"""What `barnabas dump` prints for people: a heading a file, a line a finding."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from barnabas.cli.output import human_bytes
from barnabas.cli.times import iso_time
from barnabas.dump.finding import Damage, Entry, Findings
from barnabas.wording import counted

_SHOWN_CHARS: Final = 200  # of a key or value
_TIME_FIELDS: Final = frozenset(
    (
        "timestamp",
        "delete_horizon",
        "commit_timestamp",
        "expire_timestamp",
        "current_state_timestamp",
        "transaction_last_update_timestamp_ms",
        "transaction_start_timestamp_ms",
    )
)
_NO_TIME: Final = -1
_BATCH_COLUMNS: Final = "{:>12}  {:>21}  {:>8}  {:>10}  {:<6}  {:<24}  {:>5}  {}"


def print_findings(path: Path, findings: Findings, say_empty: bool, with_totals: bool) -> None:
    """Prints a file's findings below its name, and what they come to."""
    is_headed = False
    counts: dict[str, int] = {}
    for finding in findings:
        if not is_headed:
            print(path)
            is_headed = True
        if isinstance(finding, Damage):
            print(f"  DAMAGE{_where(finding)}: {finding.reason}")
            continue
        if finding.kind == "batch" and "batch" not in counts:
            print(
                _BATCH_COLUMNS.format(
                    "position", "offsets", "records", "size", "codec", "newest", "epoch", ""
                ).rstrip()
            )
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
        print(_FORMATS.get(finding.kind, _plain_line)(finding))
    if not is_headed and say_empty:
        print(f"{path}\n  holds nothing")
    elif with_totals and counts and "settings" not in counts:
        total = ", ".join(
            counted(count, *_NOUNS.get(kind, (kind, ""))) for kind, count in counts.items()
        )
        print(f"  {total}")


def _where(damage: Damage) -> str:
    if damage.line is not None:
        return f" in line {damage.line}"
    return "" if damage.position is None else f" at {damage.position}"


def _batch_line(entry: Entry) -> str:
    fields = entry.fields
    notes = []
    if "producer_id" in fields:
        notes.append(
            f"producer {fields['producer_id']} epoch {fields['producer_epoch']} "
            f"sequence {fields['base_sequence']}"
        )
    notes += [
        note
        for note, holds in (
            ("transactional", fields["is_transactional"]),
            ("control", fields["is_control"]),
            ("log append time", fields["timestamp_type"] == "log_append_time"),
            ("WRONG CRC", not fields["is_valid"]),
        )
        if holds
    ]
    if "delete_horizon" in fields:
        notes.append(f"delete horizon {_time(fields['delete_horizon'])}")
    return _BATCH_COLUMNS.format(
        str(entry.position),
        f"{fields['base_offset']}..{fields['last_offset']}",
        str(fields["record_count"]),
        human_bytes(_number(fields["size_bytes"])),
        str(fields["codec"]),
        _time(fields["max_timestamp"]),
        str(fields["leader_epoch"]),
        ", ".join(notes),
    ).rstrip()


def _record_line(entry: Entry) -> str:
    fields = dict(entry.fields)
    parts = [f"    {fields.pop('offset')}  {_time(fields.pop('timestamp'))}"]
    record_type = fields.pop("record_type", None)
    if record_type is not None:
        parts.append(str(record_type))
    headers = fields.pop("headers", ())
    parts += [f"{name} {_text(value)}" for name, value in fields.items()]
    if isinstance(headers, tuple) and headers:
        shown = ", ".join(f"{name}={_text(value)}" for name, value in headers)
        parts.append(f"headers {shown}")
    return "  ".join(parts)


def _plain_line(entry: Entry) -> str:
    return "  " + "  ".join(
        f"{name} {_field_text(name, value)}" for name, value in entry.fields.items()
    )


def _settings_lines(entry: Entry) -> str:
    lines = [f"  {name} = {_text(value)}" for name, value in entry.fields.items()]
    return "\n".join(lines) or "  holds nothing"


def _field_text(name: str, value: object) -> str:
    return _time(value) if name in _TIME_FIELDS else _text(value)


def _text(value: object) -> str:
    """One line of what people can read; nothing that a terminal would act on."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}={_field_text(name, item)}" for name, item in value.items())
        return f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, bytes):
        text = _bytes_text(value)
    elif isinstance(value, str):
        text = value if value.isprintable() else repr(value)
    else:
        text = str(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}… ({len(text):,} chars)"


def _bytes_text(data: bytes) -> str:
    try:
        return repr(data.decode())
    except UnicodeDecodeError:
        return f"0x{data.hex()}"


def _time(timestamp_ms: object) -> str:
    number = _number(timestamp_ms)
    return "-" if number == _NO_TIME else iso_time(number)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


_FORMATS: Final[dict[str, Callable[[Entry], str]]] = {
    "batch": _batch_line,
    "record": _record_line,
    "settings": _settings_lines,
}
_NOUNS: Final = {
    "batch": ("batch", "batches"),
    "offset": ("entry", "entries"),
    "timestamp": ("entry", "entries"),
    "aborted_transaction": ("aborted transaction", ""),
    "partition_offset": ("partition", ""),
    "leader_epoch": ("leader epoch", ""),
}
