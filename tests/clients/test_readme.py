"""What README shows is run as it stands, block by block, so that it stays true.

Only the address differs: a broker on a port of this test's takes the place of the one that
`make serve` runs on 127.0.0.1:9092.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from peers.processes import Child
from peers.servers import BarnabasServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ADDRESS = "127.0.0.1:9092"
TIMEOUT_S = 60
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
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The tools that know no other broker unless told; `serve` and `dump` ask none.
_ASKS_A_BROKER = re.compile(
    r"barnabas (topic \w+|group \w+|transaction \w+|config \w+|bench [\w-]+|produce|consume)"
)
_COMMENT = re.compile(r"\s+#.*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        return [line for line in _COMMENT.sub("", self.text).splitlines() if line]

    def __str__(self) -> str:
        return re.sub(r"\W+", "-", self.text.splitlines()[0]).strip("-")


BLOCKS = [Block(*found) for found in _FENCED.findall(README)]
PYTHON_BLOCKS = [block for block in BLOCKS if block.language == "python"]
SHELL_BLOCKS = [block for block in BLOCKS if block.language == ""]
MAKES_IT_ALL = {"make serve", "make test", "source .venv/bin/activate"}


@dataclass(frozen=True)
class Reader:
    """Somebody who has just typed `make serve` and follows README in another terminal."""

    server: BarnabasServer
    directory: Path

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
        """The text with this test's broker in the place of README's."""
        to_broker = rf"barnabas \1 --bootstrap-server {self.server.bootstrap}"
        return _ASKS_A_BROKER.sub(to_broker, text.replace(ADDRESS, self.server.bootstrap))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    directory = tmp_path_factory.mktemp("readme")
    shutil.copy(ROOT / "README.md", directory)
    with BarnabasServer(directory / "server") as server:
        (directory / "barnabas-data").symlink_to(server.data_dir)
        yield Reader(server, directory)


def test_readme_shows_both_commands_which_make_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    shown = {line for block in SHELL_BLOCKS for line in block.commands}
    assert shown >= MAKES_IT_ALL
    for command in MAKES_IT_ALL:
        if command.startswith("make "):
            assert re.search(rf"^{command.removeprefix('make ')}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_readme_shows_works(reader: Reader, block: Block) -> None:
    if block.language == "python" and "def test_" in block.text:
        test = reader.directory / "test_readme_application.py"
        test.write_text(APPLICATION + block.text)
        reader.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name)
    elif block.language == "python":
        assert (
            reader.run(sys.executable, "-c", reader.here(block.text)) or "print" not in block.text
        )
    else:
        assert block.language == ""
        for command in block.commands:
            if command in MAKES_IT_ALL:
                continue
            if command.startswith("barnabas serve "):
                _serve(reader, command)
            else:
                shorter = (
                    " --warm-up 0 --duration 1" if command.startswith("barnabas bench") else ""
                )
                reader.run("bash", "-euc", reader.here(command) + shorter)


def test_the_snippets_print_what_was_written(reader: Reader) -> None:
    """What the blocks before have left: the producer's record in its log, and a book."""
    assert len(PYTHON_BLOCKS) == 10
    log = next(block for block in PYTHON_BLOCKS if "barnabas.Log" in block.text)
    assert b"a message from the castle" in reader.run(sys.executable, "-c", log.text).encode()
    consume = reader.here("barnabas consume book")
    assert reader.run("bash", "-c", consume).splitlines()[:1] == README.splitlines()[:1]


def _serve(reader: Reader, command: str) -> None:
    """A broker on another port than README's; it has to get ready and to stop."""
    words = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", command).split()
    words[words.index("--data-dir") + 1] = str(reader.directory / "other-data")
    words[0] = str(Path(sys.executable).with_name(words[0]))
    child = Child(words, reader.directory / "served", "served")
    child.wait_for(lambda: "barnabas ready on" in child.stdout(), TIMEOUT_S, "the ready line")
    assert child.terminate() == 0
