"""The pages of the site that are made of the sources: an mkdocs hook.

The configuration comes from the registry of keys, the APIs from the table that drives dispatch, the
examples, the design and the changes from the files of the repository.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.keys import Key, Update, format_value
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.protocol.apis import APIS

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?://|#)[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds them to those of docs/."""
    pages = {
        "reference/configuration.md": configuration_page(),
        "reference/apis.md": apis_page(),
        "examples.md": examples_page(),
        "design.md": repository_page("ARCHITECTURE.md"),
        "changes.md": repository_page("CHANGELOG.md"),
    }
    for name, text in pages.items():
        if (placeholder := files.get_file_from_path(name)) is not None:
            files.remove(placeholder)  # for those who read a checkout
        files.append(File.generated(config, name, content=text))
    return files


def configuration_page() -> str:
    """Every key that is described to clients: first those that have an effect."""
    parts = [
        "# Configuration",
        "The keys are Kafka's, with Kafka's defaults and meanings. A broker takes them from "
        "`--config FILE`, a `server.properties`, and from `--set KEY=VALUE`, which is stronger; a "
        "topic from `barnabas topic create --config` and `barnabas config set`. An unknown key, or "
        "a bad value, is an error that names it. A key that Apache Kafka has and that is not here "
        "gives a warning at the start and has no effect.",
        _section("Brokers", BROKER_KEYS.values()),
        _section("Topics", TOPIC_KEYS.values()),
    ]
    return "\n\n".join(parts) + "\n"


def apis_page() -> str:
    """The table of `barnabas.protocol.apis`."""
    rows = [(str(api.key), api.name, f"{api.min_version}–{api.max_version}") for api in APIS]
    parts = [
        "# APIs and versions",
        "What a broker advertises, in Apache Kafka 4.3's ranges. What is not in this table is not "
        "advertised, and a request for it closes the connection.",
        _table(("key", "API", "versions"), rows),
    ]
    return "\n\n".join(parts) + "\n"


def examples_page() -> str:
    """What examples/README.md says, and the programs as they are."""
    folder = ROOT / "examples"
    names = re.findall(r"\]\((\w+\.py)\)", (folder / "README.md").read_text())
    assert {*names} == {path.name for path in folder.glob("*.py")}, "README lists all examples"
    programs = [f"## {name}\n\n```python\n{(folder / name).read_text()}```" for name in names]
    return "\n\n".join([repository_page("examples/README.md"), *programs]) + "\n"


def repository_page(name: str) -> str:
    """The file as it is; links into the repository become their text."""
    return _LINK.sub(r"\1", (ROOT / name).read_text())


def _section(title: str, keys: Iterable[Key]) -> str:
    shown = [key for key in keys if not key.internal]
    used = [_row(key) for key in shown if key.used]
    kept = [_row(key) for key in shown if not key.used]
    columns = ("key", "default", "meaning", "changes", "since")
    text = f"## {title}\n\n{_table(columns, used)}"
    if kept:
        text += f"\n\n### {title}: kept and shown, of no effect\n\n{_table(columns, kept)}"
    return text


def _row(key: Key) -> Sequence[str]:
    when = "at any time" if key.update is Update.DYNAMIC else "at the start"
    others = ", ".join(f"`{synonym.name}`" for synonym in key.synonyms if synonym.name != key.name)
    also = f" Or: {others}." if others else ""
    default = format_value(key.default)
    shown = "none" if default is None else f"`{default}`" if default else "empty"
    return f"`{key.name}`", shown, f"{key.doc}{also}", when, key.since


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines
    )
