"""Barnabas beside Apache Kafka, Tansu and the bare kernel, in one run.

    python -m bench [--quick] [--only PATTERN] [--out DIRECTORY]

Writes results.json and the report, as a page and as Markdown, into the directory. The whole takes
about half an hour, --quick less than four minutes.
"""

import argparse
import dataclasses
import fnmatch
import os
import shlex
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench import machine  # noqa: E402
from bench.figures import figures  # noqa: E402
from bench.kernel import PROGRAM  # noqa: E402
from bench.operation import BROKERS, Operation  # noqa: E402
from bench.operations import all_operations  # noqa: E402
from bench.report import write_markdown, write_report  # noqa: E402
from bench.results import GZIP, PEERS, Results, Sample, load_results  # noqa: E402
from bench.servers import description  # noqa: E402
from bench.stalls import StallWatch  # noqa: E402
from bench.suite import Suite, running_peers  # noqa: E402

REPETITIONS = 3
WARM_UP = "librdkafka-produce-100"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="only the core of the list")
    parser.add_argument("--only", metavar="PATTERN", help="operations whose id matches, as a shell")
    parser.add_argument("--list", action="store_true", help="print the list and end")
    parser.add_argument(
        "--repetitions", type=int, help="of what has no number of its own (default: 3)"
    )
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin no operation after so many"
    )
    parser.add_argument("--peers", default=",".join(BROKERS), help="brokers, comma-separated")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out that broke off: only what it has no sample of",
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench-report"), help="directory")
    parser.add_argument(
        "--markdown",
        type=Path,
        help="write the report there, too, with pictures/ and all samples (.json.gz) beside it",
    )
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Operation]:
    operations = all_operations()
    if options.list and not options.quick:
        return operations
    if options.only:
        patterns = options.only.split(",")
        return [
            operation
            for operation in operations
            if any(fnmatch.fnmatch(operation.info.id, pattern) for pattern in patterns)
        ]
    return [o for o in operations if (o.is_core if options.quick else not o.is_only_core)]


def _resumed(
    path: Path, results: Results, operations: list[Operation]
) -> tuple[list[Sample], list[Operation]]:
    """The samples of the run before, and the operations that are left. The report is of that run,
    and says what was measured later.
    """
    before = load_results(path)
    if before.peers.keys() != results.peers.keys():
        sys.exit(f"{path} is of other peers: it cannot be gone on with")
    # The last operation may have been cut short: it is measured anew.
    cut_short = before.samples[-1].operation if before.samples else ""
    samples = [sample for sample in before.samples if sample.operation != cut_short]
    done = {sample.operation for sample in samples}
    left = [operation for operation in operations if operation.info.id not in done]
    resumed = (
        f"{', '.join(operation.info.id for operation in left)}: measured later, on {results.date}, "
        f"commit {results.commit}, by {results.command}"
    )
    if earlier := before.machine.get("resumed"):
        resumed = f"{earlier}; {resumed}"
    results.command, results.date, results.commit = before.command, before.date, before.commit
    results.machine = before.machine | {"resumed": resumed}
    results.machine.pop("left out", None)
    return samples, left


def main() -> None:
    options = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # brokers and files do not stay
    begin_s = time.monotonic()
    operations = _chosen(options)
    if options.list:
        print("\n".join(f"{o.info.id:34} {o.info.group}: {o.info.title}" for o in operations))
        return
    names = options.peers.split(",")
    if not operations or "barnabas" not in names or not set(names) <= set(BROKERS):
        sys.exit(f"nothing to measure: see --list; --peers are barnabas and others of {BROKERS}")
    if options.quick:
        operations = [dataclasses.replace(o, repetitions=1, warm_up_by=None) for o in operations]
    if not PROGRAM.exists() and any(operation.kernel for operation in operations):
        sys.exit(f"{PROGRAM} is not there: make build/bench/kernel_loop")
    options.out.mkdir(parents=True, exist_ok=True)
    results_file = options.out / "results.json"
    results = Results(
        command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        date=f"{datetime.now(UTC):%Y-%m-%dT%H:%M}",
        commit=machine.commit(),
        machine=machine.facts(),
        peers={name: description(name) for name in PEERS if name in (*names, "kernel")},
        operations=[operation.info for operation in operations],
    )
    # Installed packages have their bytecode; a checkout has it after the first start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with running_peers(names) as peers, StallWatch() as stalls:
        suite = Suite(peers, stalls, lambda line: print(line, flush=True))
        if options.resume:
            suite.samples, operations = _resumed(results_file, results, operations)
        if "kafka" in names and (options.quick or options.only):  # the whole list begins with it
            suite.warm_up([o for o in all_operations() if o.info.id == WARM_UP])
        for number, operation in enumerate(operations):
            if time.monotonic() - begin_s > options.minutes * 60:
                left = [operation.info.id for operation in operations[number:]]
                results.machine["left out"] = f"for want of time: {', '.join(left)}"
                break
            suite.run(operation, 1 if options.quick else options.repetitions or REPETITIONS)
            results.samples = suite.samples
            results.figures = figures(results)
            results.save(results_file)
    wanted = set(names) & {name for operation in operations for name in operation.peers}
    if missing := wanted - {sample.peer for sample in results.samples if sample.metrics}:
        sys.exit(f"nothing was measured of {', '.join(sorted(missing))}")
    duration = f"{(time.monotonic() - begin_s) / 60:.0f} minutes"
    if options.resume and "duration" in results.machine:
        duration = f"{results.machine['duration']} and {duration}"
    results.machine["duration"] = duration
    results.save(results_file)
    write_report(results, options.out)
    if options.markdown is not None:
        write_markdown(results, options.markdown, options.markdown.with_name("pictures"))
        results.save(options.markdown.with_suffix(f".json{GZIP}"))
    print(f"the report: {options.out / 'index.html'}")


if __name__ == "__main__":
    main()
