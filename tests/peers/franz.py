"""The small program in `tests/clients/go`, on the client library franz-go."""

import hashlib
import os
import subprocess
from pathlib import Path

from peers.cache import cached_dir

_SOURCE_DIR = Path(__file__).parents[1] / "clients" / "go"


def franz_program() -> Path:
    """The built program; built again when a source changes."""
    digest = hashlib.sha256()
    for source in sorted(_SOURCE_DIR.iterdir()):
        digest.update(source.read_bytes())

    def build(directory: Path) -> None:
        subprocess.run(
            ["go", "build", "-o", str(directory / "franz"), "."],
            check=True,
            cwd=_SOURCE_DIR,
            env={**os.environ, "CGO_ENABLED": "0"},
        )

    return cached_dir(f"franz-go-{digest.hexdigest()[:12]}", build) / "franz"
