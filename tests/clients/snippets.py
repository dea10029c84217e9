"""Runs what a Markdown page shows, block by block, as somebody who follows it would.

Only the address differs: a broker on a port of the test's takes the place of the one that
`make serve` or `barnabas serve` runs on 127.0.0.1:9092.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peers.processes import Child
from peers.servers import BarnabasServer

ADDRESS = "127.0.0.1:9092"
TIMEOUT_S = 60
# What a page calls the reader's own.
APPLICATION = """
import os
import confluent_kafka

def run_my_application(bootstrap_servers, topic):
    assert bootstrap_servers

class App:
    def __init__(self):
        servers = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
        self.producer = confluent_kafka.Producer({"bootstrap.servers": servers})

    def place_order(self, name):
        self.producer.produce("orders", name)
        assert self.producer.flush(20) == 0

make_app = App

"""
# What the reader has done before: the broker runs, and its environment is the test's.
DONE_BEFORE = re.compile(r"make (serve|test)$|source |barnabas serve$")
_FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The tools that know no other broker unless told; `serve` and `dump` ask none.
_ASKS_A_BROKER = re.compile(
    r"barnabas (topic [\w-]+|group [\w-]+|transaction \w+|config \w+|bench [\w-]+|produce|consume)"
)
_COMMENT = re.compile(r"\s+#.*$", re.MULTILINE)
_SHELL = ("", "sh")
_SHOWN_ONLY = ("text", "ini", "toml")
_OF_PYTEST = "[pytest]\n"  # settings for the tests that the page shows later
# Code in no fence, or in one within a list: it would be neither run nor missed.
_UNFENCED = re.compile(r"```|~~~|\n\n(?: {4}|\t)\S")


@dataclass(frozen=True)
class Block:
    """A fenced block: Python, commands of a shell, or something that is only shown."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        return [line for line in _COMMENT.sub("", self.text).splitlines() if line]

    @property
    def is_shell(self) -> bool:
        return self.language in _SHELL

    @property
    def is_shown_only(self) -> bool:
        return self.language in _SHOWN_ONLY and not self.text.startswith(_OF_PYTEST)

    def __str__(self) -> str:
        return re.sub(r"\W+", "-", self.text.splitlines()[0]).strip("-")


def blocks_of(page: str) -> list[Block]:
    """Those that can be run, in the page's order."""
    prose = _FENCED.sub("", page)
    unfenced = _UNFENCED.search(prose)
    assert unfenced is None, f"nobody runs what comes after {prose[: unfenced.start()][-80:]!r}"
    blocks = [Block(*found) for found in _FENCED.findall(page)]
    return [block for block in blocks if not block.is_shown_only]


@dataclass(frozen=True)
class Reader:
    """Somebody who has a broker running and follows the page in another terminal."""

    server: BarnabasServer
    directory: Path

    def follow(self, block: Block) -> None:
        """Does what the block says; it has to work."""
        if block.language == "python" and "def test_" in block.text:
            test = self.directory / "test_application.py"
            test.write_text(APPLICATION + block.text)
            self.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name)
        elif block.language == "python":
            shown = self.run(sys.executable, "-c", self.here(block.text))
            assert shown or "print" not in block.text
        elif block.text.startswith(_OF_PYTEST):
            (self.directory / "pytest.ini").write_text(block.text)
        else:
            assert block.is_shell, f"nobody runs {block.language}"
            for command in block.commands:
                self._follow_command(command)

    def _follow_command(self, command: str) -> None:
        if DONE_BEFORE.match(command):
            return
        if command.startswith("barnabas serve "):
            self._serve(command)
        else:
            shorter = " --warm-up 0 --duration 1" if command.startswith("barnabas bench") else ""
            self.run("bash", "-euc", self.here(command) + shorter)

    def run(self, *command: str) -> str:
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def here(self, text: str) -> str:
        """The text with this test's broker in the place of the page's."""
        to_broker = rf"barnabas \1 --bootstrap-server {self.server.bootstrap}"
        return _ASKS_A_BROKER.sub(to_broker, text.replace(ADDRESS, self.server.bootstrap))

    def _serve(self, command: str) -> None:
        """A broker on another port than the page's; it has to get ready and to stop."""
        words = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", command).split()
        words[words.index("--data-dir") + 1] = str(self.directory / "other-data")
        words[0] = str(Path(sys.executable).with_name(words[0]))
        child = Child(words, self.directory / "served", "served")
        child.wait_for(lambda: "barnabas ready on" in child.stdout(), TIMEOUT_S, "the ready line")
        assert child.terminate() == 0


@contextmanager
def reader_of(page: Path, directory: Path) -> Iterator[Reader]:
    """A reader in a directory with the page, beside the running broker's data."""
    shutil.copy(page, directory)
    with BarnabasServer(directory / "server") as server:
        (directory / "barnabas-data").symlink_to(server.data_dir)
        yield Reader(server, directory)
