"""Watches what compilers and linters do not: layers, sizes, the one registry, what sources mention.

`python ci/tidy.py` prints one line a finding and exits 1 when there is any. Exceptions are named
here, each with its reason.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FILE_LINES = 500
FUNCTION_LINES = 70

LONG_FILES: dict[str, str] = {
    "src/barnabas/_records.pyx": "encoder and decoder share inlined helpers, one module each costs",
}
LONG_FUNCTIONS: dict[str, str] = {}  # "path::function"; C++ functions are watched by clang-tidy

# What a layer of csrc/ may include, besides itself.
NATIVE_LAYERS = {
    "base": (),
    "record": ("base",),
    "storage": ("base", "record"),
    "net": ("base",),
    "dataplane": ("base", "record", "storage", "net"),
    "embedded": ("base", "record", "storage", "dataplane"),
    "loadgen": ("base", "record"),
    "bindings": ("base", "record", "storage", "net", "dataplane", "embedded", "loadgen"),
}

# Calls of files' contents and names, which are made through base/file_system.h so that tests can
# let them fail.
FILE_LAYERS = ("storage", "net", "dataplane")
FILE_CALLS = re.compile(
    r"(?<![\w>])::(open|pwritev?|preadv?|sendfile|f?truncate|fdatasync|fsync|syncfs|rename|unlink"
    r"|mkdir|rmdir|openat|renameat|unlinkat|mkdirat)\("
)

# The parts of src/barnabas, lowest first: a part imports only parts of lower tiers, or itself.
PYTHON_TIERS = (
    ("quick_kio",),
    ("closing", "directories", "errors", "wording", "state"),
    ("_core", "_columns", "arguments"),
    ("_records", "_column_input", "_reader"),
    ("_sender", "arrow", "bulk"),
    ("config", "protocol", "logs"),
    ("log", "testing", "clock", "disk_calls", "forking", "open_brokers"),
    ("metadata", "dump"),
    ("query",),
    ("adopt", "coordinator"),
    ("handlers",),
    ("broker", "directory_watch"),
    ("node", "embedded"),
    ("embed",),
    ("bench",),
    ("pytest_plugin", "cli"),
    ("__main__",),
)
# Pure state machines: they import nothing of ours but each other.
CLOSED_PARTS = ("state",)

# Modules of handlers/ that handlers share and that answer no API of their own.
HANDLER_SUPPORT = {
    "call",
    "config_changes",
    "config_resources",
    "data_plane",
    "fencing",
    "leader_epochs",
    "offsets_to_commit",
    "pending",
    "services",
    "topic_fields",
}

BANNED_TEXT = {
    re.compile(r"/(?:work|root|home)/\w"): "a path of somebody's machine",
    re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b"): "unfinished work",
    re.compile(r"\b(?:[Ii]ssue|[Tt]icket|PR) ?#?\d"): "ticket talk",
    re.compile(r"[Cc]o-authored-by"): "a trailer",
}
SOURCE_SUFFIXES = {".py", ".pyi", ".pyx", ".pxd", ".pxi", ".cc", ".h", ".java", ".go", ".sh"}
CODE_DIRS = ("src", "csrc", "tests", "bench", "ci")


class Finding(NamedTuple):
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def sources() -> list[Path]:
    """The source files git knows or would add, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *CODE_DIRS]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    paths = {Path(line) for line in listed.stdout.splitlines()}
    return sorted(p for p in paths if p.suffix in SOURCE_SUFFIXES and (ROOT / p).is_file())


def check_text(path: Path, text: str) -> Iterator[Finding]:
    lines = text.splitlines()
    if len(lines) > FILE_LINES and str(path) not in LONG_FILES:
        yield Finding(str(path), FILE_LINES, f"{len(lines)} lines, more than {FILE_LINES}")
    if path == Path("ci/tidy.py"):
        return
    for number, line in enumerate(lines, 1):
        for pattern, meaning in BANNED_TEXT.items():
            if match := pattern.search(line):
                yield Finding(str(path), number, f"{meaning}: {match[0]!r}")


def _check_length(path: Path, name: str, first: int, last: int) -> Iterator[Finding]:
    length = last - first + 1
    if length > FUNCTION_LINES and f"{path}::{name}" not in LONG_FUNCTIONS:
        yield Finding(str(path), first, f"{name} has {length} lines, more than {FUNCTION_LINES}")


# -- C++


def check_native(path: Path, text: str) -> Iterator[Finding]:
    if path.parts[0] != "csrc" or path.parts[1] not in NATIVE_LAYERS:
        return
    layer = path.parts[1]
    below = (layer, *NATIVE_LAYERS[layer])
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'#\s*include\s*["<](\.\.|\w+)/', line)
        included = match[1] if match else layer
        if included == ".." or (included in NATIVE_LAYERS and included not in below):
            yield Finding(str(path), number, f"{layer} must not include {included}")
        if layer in FILE_LAYERS and (call := FILE_CALLS.search(line)):
            yield Finding(str(path), number, f"{call[1]} goes through base/file_system.h")


# -- Python


def check_python(path: Path, text: str) -> Iterator[Finding]:
    tree = ast.parse(text, str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _check_length(path, node.name, node.lineno, node.end_lineno or node.lineno)
    if path.parts[:2] == ("src", "barnabas") and len(path.parts) > 2:
        yield from _check_imports(path, tree)


def _part(module: str) -> str | None:
    """The part of our package that a module name belongs to; None for other packages."""
    names = module.split(".")
    return names[1] if names[0] == "barnabas" and len(names) > 1 else None


def _imported_parts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "barnabas":
            # Classes are public names, which come from the top of the package.
            modules = [f"barnabas.{a.name}" for a in node.names if a.name.islower()]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            if part := _part(module):
                yield node.lineno, part


def _check_imports(path: Path, tree: ast.Module) -> Iterator[Finding]:
    own = Path(path.parts[2]).stem
    if own == "__init__":
        return
    tiers = {part: tier for tier, parts in enumerate(PYTHON_TIERS) for part in parts}
    if own not in tiers:
        yield Finding(str(path), 1, f"{own} has no tier: add it to PYTHON_TIERS in ci/tidy.py")
        return
    for line, part in _imported_parts(tree):
        if part in (own, "__version__"):
            continue
        if own in CLOSED_PARTS:
            yield Finding(str(path), line, f"{own} must import nothing of ours, but imports {part}")
        elif part not in tiers:
            yield Finding(str(path), line, f"imports {part}, which has no tier in ci/tidy.py")
        elif tiers[part] >= tiers[own]:
            yield Finding(str(path), line, f"{own} must not import {part}: imports go downward")


# -- the table of layers


def _named_layers() -> Iterator[str]:
    """The native layers and the parts of src/barnabas, as ARCHITECTURE.md's table has them."""
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## Layers")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| (`\w*src/.*?) \|", section, re.MULTILINE):
        for name in re.findall(r"`(.+?)`", row):
            yield Path(name.removeprefix("src/barnabas/")).with_suffix("").as_posix()


def check_layer_table() -> Iterator[Finding]:
    """Every layer and part is named once, in the order of the tiers."""
    in_order = (*((f"csrc/{layer}",) for layer in NATIVE_LAYERS), *PYTHON_TIERS)
    tiers = {name: tier for tier, names in enumerate(in_order) for name in names}
    named = list(_named_layers())
    for name in sorted(tiers.keys() | set(named)):
        if name not in tiers:
            yield Finding("ARCHITECTURE.md", 1, f"names the layer {name}, which ci/tidy.py has not")
        elif named.count(name) != 1:
            yield Finding("ARCHITECTURE.md", 1, f"names the layer {name} {named.count(name)} times")
    known = [name for name in named if name in tiers]
    for below, above in pairwise(known):
        if tiers[below] > tiers[above]:
            yield Finding("ARCHITECTURE.md", 1, f"{above} is a lower layer than {below}")


# -- the registry


def check_registry() -> Iterator[Finding]:
    """Every handler module is named in the registry, and the registry names no others."""
    registry = ROOT / "src/barnabas/protocol/apis.py"
    handlers_dir = ROOT / "src/barnabas/handlers"
    if not registry.exists() and not handlers_dir.exists():
        return
    tree = ast.parse(registry.read_text())
    named = {
        node.value.rpartition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("barnabas.handlers.")
    }
    present = {path.stem for path in handlers_dir.glob("*.py") if not path.stem.startswith("_")}
    present -= HANDLER_SUPPORT
    where = str(registry.relative_to(ROOT))
    for name in sorted(present & named):
        yield from _check_handler_docstring(Path("src/barnabas/handlers") / f"{name}.py", tree)
    for missing in sorted(present - named):
        yield Finding(where, 1, f"handlers/{missing}.py is not in the registry")
    for unknown in sorted(named - present):
        yield Finding(where, 1, f"names handlers/{unknown}.py, which does not exist")


def _check_handler_docstring(path: Path, registry: ast.Module) -> Iterator[Finding]:
    """A handler's docstring opens with its API's name, key and versions, as registered."""
    for node in ast.walk(registry):
        if not (isinstance(node, ast.Call) and len(node.args) >= 5):
            continue
        values = [str(a.value) if isinstance(a, ast.Constant) else "" for a in node.args]
        if values[4] != f"barnabas.handlers.{path.stem}":
            continue
        key, name, low, high = values[:4]
        versions = f"version {low}" if low == high else f"versions {low}-{high}"
        expected = f"{name} (API key {key}), {versions}:"
        docstring = ast.get_docstring(ast.parse((ROOT / path).read_text())) or ""
        if not docstring.startswith(expected):
            yield Finding(str(path), 1, f"the docstring should begin with {expected!r}")


def findings() -> Iterator[Finding]:
    for path in sources():
        text = (ROOT / path).read_text()
        yield from check_text(path, text)
        if path.suffix in (".cc", ".h"):
            yield from check_native(path, text)
        elif path.suffix in (".py", ".pyi"):
            yield from check_python(path, text)
    yield from check_layer_table()
    yield from check_registry()


def main() -> int:
    found = list(findings())
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
