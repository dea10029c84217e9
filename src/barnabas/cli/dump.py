"""`barnabas dump`: what the files of a data directory hold, and whether they are whole."""

import argparse
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from barnabas.cli.failure import EXIT_FAILURE, CommandError
from barnabas.cli.output import add_json_option, print_json, warn
from barnabas.cli.record_json import bytes_field, headers_field
from barnabas.dump.finding import Damage, Entry, Findings
from barnabas.wording import counted

_SHOWN_DAMAGE: Final = 20  # of one file; further ones are only counted


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas dump`."""
    parser = subparsers.add_parser(
        "dump",
        help="show and check the files of a data directory",
        description="Shows what files of a data directory hold, those of Apache Kafka as well: "
        "segments, indexes, producer snapshots, checkpoints and metadata files. Says where a file "
        "is damaged; the exit code is 1 when one is. Changes nothing, and may be used while a "
        "broker runs; the last batch of a segment may then be half written.",
        epilog="examples:\n"
        "  barnabas dump barnabas-data/events-0 --records\n"
        "  barnabas dump barnabas-data/__consumer_offsets-* --records --json | jq .key\n"
        "  barnabas dump barnabas-data --quiet && echo all is well",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE|DIR")
    parser.add_argument(
        "-r",
        "--records",
        action="store_true",
        help="decode and show the records too; those of internal topics by name, and long keys "
        "and values cut short unless --json",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show damage only")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Shows every file; 1 when one is damaged or cannot be read."""
    from barnabas.cli.dump_text import print_findings
    from barnabas.dump.files import read_file

    files = damaged = unreadable = 0
    for path in _all_files(args.paths):
        files += 1
        tally = Tally()
        try:
            findings = read_file(path, args.records)
            if findings is None:
                raise CommandError(f"{path}: not a file of a data directory, by its name")
            shown = tally.watch(findings, only_damage=args.quiet)
            if args.json:
                _print_json_lines(path, shown)
            else:
                # In a directory full of them, files that hold nothing would hide the others.
                say_empty = path in args.paths and not args.quiet
                print_findings(path, shown, say_empty, with_totals=not args.quiet)
        except (OSError, ValueError, struct.error) as error:
            if isinstance(error, BrokenPipeError):
                raise
            warn(f"cannot read {path}: {getattr(error, 'strerror', None) or error}")
            unreadable += 1
        damaged += tally.damage_count > 0
    if damaged:
        warn(f"damage in {damaged} of {counted(files, 'file')}")
    elif files > 1 and not (args.json or args.quiet or unreadable):
        print(f"{counted(files, 'file')}, no damage")
    return EXIT_FAILURE if damaged or unreadable else 0


class Tally:
    """Counts the damage that passes by, and lets through what a person would read of it."""

    def __init__(self) -> None:
        self.damage_count = 0

    def watch(self, findings: Findings, only_damage: bool) -> Findings:
        """The findings, or only the damage among them."""
        for finding in findings:
            if isinstance(finding, Damage):
                self.damage_count += 1
                if self.damage_count > _SHOWN_DAMAGE:
                    continue
            elif only_damage:
                continue
            yield finding
        if self.damage_count > _SHOWN_DAMAGE:
            yield Damage(f"damage in {self.damage_count - _SHOWN_DAMAGE:,} more places")


def _all_files(paths: Iterable[Path]) -> Iterator[Path]:
    from barnabas.dump.files import files_below

    for path in paths:
        if not path.exists():
            raise CommandError(f"cannot read {path}: No such file or directory")
        try:
            files = list(files_below(path))
        except OSError as error:
            raise CommandError(f"cannot read {path}: {error.strerror}") from None
        if not files:
            raise CommandError(f"{path} holds no file of a data directory")
        yield from files


def _print_json_lines(path: Path, findings: Findings) -> None:
    for finding in findings:
        fields: dict[str, object] = {"file": str(path)}
        if isinstance(finding, Entry):
            fields["type"] = finding.kind
        else:
            fields.update(type="damage", reason=finding.reason)
            if finding.line is not None:
                fields["line"] = finding.line
        if finding.position is not None:
            fields["position"] = finding.position
        if isinstance(finding, Entry):
            fields.update(_as_json(finding.fields))
        print_json(fields)


def _as_json(fields: dict[str, object]) -> dict[str, object]:
    """The fields with bytes as text or, under another name, as base64."""
    plain: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, bytes):
            plain.update((bytes_field(name, value),))
        elif isinstance(value, dict):
            plain[name] = _as_json(value)
        elif isinstance(value, tuple):
            plain[name] = headers_field(value)
        elif isinstance(value, list):
            plain[name] = [_as_json(item) if isinstance(item, dict) else item for item in value]
        else:
            plain[name] = value
    return plain
