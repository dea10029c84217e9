"""What the transcripts of the state machines share: lines of a time, an event and what is told."""

import re
from abc import ABC, abstractmethod


class Script(ABC):
    """Runs a text, a line at a time: `TIME EVENT => TOLD; TOLD`."""

    def run(self, text: str) -> None:
        """Fails at the first line that tells something else."""
        for line in (line.strip() for line in text.strip().splitlines()):
            if line and not line.startswith("#"):
                self._run_line(line)

    def _run_line(self, line: str) -> None:
        match = re.fullmatch(r"(\d+)\s*(.*?)\s*(?:=>\s*(.*))?", line)
        assert match is not None, f"cannot read: {line}"
        time_ms, event, expected = match.groups()
        self._advance_to(int(time_ms))
        if event:
            self._handle(event.split())
        told = sorted(self._take())
        wanted = sorted(part.strip() for part in (expected or "").split(";") if part.strip())
        assert told == wanted, f"\nat     {line}\nexpected {wanted}\n     got {told}"

    @abstractmethod
    def _advance_to(self, time_ms: int) -> None:
        """Lets what is due until then happen."""

    @abstractmethod
    def _handle(self, words: list[str]) -> None:
        """Lets an event happen."""

    @abstractmethod
    def _take(self) -> list[str]:
        """What was told since the last time."""
