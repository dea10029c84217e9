"""A debugger for what records have done: steps through a partition, and stops where it is told.

    python replay.py ./barnabas-data payments --apply bank.py:apply

reads the files of a broker, running or not; an address in the place of the directory reads from
any Kafka cluster. `apply(state, record)` is your function: it makes of a dict `state`, empty in the
beginning, what your program would. `record` has partition, offset, timestamp, key, value, headers.

    step [N]       applies the next N records
    continue       applies records until one meets the breakpoint, or apply raises
    break [EXPR]   sets the breakpoint, `break state["anna"] < 0` for instance, or removes it
    print EXPR     what an expression of `state` and `record` says now
    back [N]       undoes the last N records
    seek WHERE     goes to an offset, or to a time such as 2026-01-31T12:00Z; the state is empty
    quit           ends

Of files, records of transactions that were aborted are read like all others.
"""

import argparse
import cmd
import json
import runpy
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import barnabas

Apply = Callable[[dict[Any, Any], SimpleNamespace], object]


class Replay:
    """A partition's records one after the other, and the state that they have made."""

    def __init__(self, source: str, topic: str, partition: int, apply: Apply) -> None:
        self._where = (source, topic, partition)
        self._apply = apply
        self.seek(None)

    def seek(self, start: int | datetime | None) -> None:
        """Begins anew at the first record that is not before `start`."""
        self._start = start
        self._records = self._read()
        self._steps = 0
        self.state: dict[Any, Any] = {}
        self.record: SimpleNamespace | None = None

    def step(self) -> bool:
        """Applies the next record; whether there was one. Raises what `apply` raises."""
        record = next(self._records, None)
        if record is None:
            return False
        self.record = record
        self._steps += 1
        self._apply(self.state, record)
        return True

    def back(self, count: int) -> None:
        """Applies all but the last `count` records from where it has begun."""
        steps = max(0, self._steps - count)
        self.seek(self._start)
        for _ in range(steps):
            self.step()

    def _read(self) -> Iterator[SimpleNamespace]:
        source, topic, partition = self._where
        for batch in barnabas.scan(source, topic, start=self._start, partitions=[partition]):
            for row in batch.to_pylist():
                yield SimpleNamespace(**row)


class Debugger(cmd.Cmd):
    """The commands."""

    prompt = "(replay) "

    def __init__(self, replay: Replay) -> None:
        super().__init__()
        self._replay = replay
        self._condition = "False"

    def onecmd(self, line: str) -> bool:
        """A command that fails says why, and the next one comes."""
        try:
            return super().onecmd(line)
        except Exception:
            print(traceback.format_exc(limit=-1).rstrip())
            self._show()
            return False

    def emptyline(self) -> bool:
        """Nothing said, nothing done."""
        return False

    def do_step(self, count: str) -> None:
        """step [N]: applies the next N records."""
        for _ in range(int(count or 1)):
            if not self._replay.step():
                print("there are no more records")
                return
            self._show()

    def do_continue(self, _: str) -> None:
        """continue: applies records until one meets the breakpoint, or apply raises."""
        while self._replay.step():
            if self._value(self._condition):
                self._show()
                return
        print("there are no more records")

    def do_break(self, condition: str) -> None:
        """break [EXPR]: sets the breakpoint, or removes it."""
        self._condition = condition or "False"
        compile(self._condition, "<breakpoint>", "eval")

    def do_print(self, expression: str) -> None:
        """print EXPR: what an expression of `state` and `record` says now."""
        print(self._value(expression))

    def do_back(self, count: str) -> None:
        """back [N]: undoes the last N records."""
        self._replay.back(int(count or 1))
        self._show()

    def do_seek(self, where: str) -> None:
        """seek WHERE: goes to an offset or a time; the state is empty."""
        if where.isdecimal():
            self._replay.seek(int(where))
            return
        time = datetime.fromisoformat(where)
        self._replay.seek(time if time.tzinfo else time.replace(tzinfo=UTC))

    def do_quit(self, _: str) -> bool:
        """quit: ends."""
        return True

    do_EOF = do_quit

    def _value(self, expression: str) -> Any:
        return eval(expression, {"json": json, **vars(self._replay)})

    def _show(self) -> None:
        if (record := self._replay.record) is None:
            print("before the first record")
        else:
            print(f"{record.offset} {record.timestamp:%FT%T.%f} {record.key!r}: {record.value!r}")


def load(name: str) -> Apply:
    """The function of FILE:FUNCTION."""
    path, _, function = name.rpartition(":")
    try:
        apply: Apply = runpy.run_path(path)[function]
    except (KeyError, OSError) as error:
        raise argparse.ArgumentTypeError(f"there is no FILE:FUNCTION {name}: {error}") from None
    return apply


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", help="a data directory, or the address of a cluster")
    parser.add_argument("topic")
    parser.add_argument("--partition", type=int, default=0)
    parser.add_argument("--apply", metavar="FILE:FUNCTION", type=load, default=lambda *_: None)
    args = parser.parse_args()
    Debugger(Replay(args.source, args.topic, args.partition, args.apply)).cmdloop()


if __name__ == "__main__":
    main()
