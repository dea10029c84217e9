"""What group members print, written and read in one place."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clients.contract import Member
from peers.processes import Child


def print_assigned(partitions: Iterable[int]) -> None:
    print(json.dumps({"assigned": sorted(partitions)}), flush=True)


def print_event(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def print_value(value: bytes) -> None:
    print(json.dumps({"value": value.decode()}), flush=True)


class EventMember(Member):
    """A member that prints the events of this module."""

    def assignment(self) -> frozenset[int]:
        assigned = [event["assigned"] for event in self._events() if "assigned" in event]
        return frozenset(assigned[-1]) if assigned else frozenset()

    def values(self) -> set[str]:
        return {event["value"] for event in self._events() if "value" in event}

    def assignments(self) -> list[list[int]]:
        """All assignments it has had, in order."""
        return [event["assigned"] for event in self._events() if "assigned" in event]

    def event(self, name: str) -> Any:
        """The last value of an event; None if there was none."""
        found = [event[name] for event in self._events() if name in event]
        return found[-1] if found else None

    def _events(self) -> list[dict[str, Any]]:
        whole_lines = self.child.stdout().split("\n")[:-1]
        return [json.loads(line) for line in whole_lines]


def start_event_member(command: Sequence[str], directory: Path) -> EventMember:
    return EventMember(Child(command, directory, "member"))


def start_python_member(
    module: str, bootstrap: str, topic: str, group: str, directory: Path
) -> EventMember:
    tests_dir = Path(__file__).parents[2]
    path = os.pathsep.join([str(tests_dir), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", f"clients.members.{module}", bootstrap, topic, group]
    return EventMember(Child(command, directory, "member", {"PYTHONPATH": path}))
