"""Carries out the plan of `barnabas bench`: progress, samples of what is used, the report."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from barnabas.bench.latency import HdrLog, empty_histogram, to_histogram
from barnabas.bench.report import Flow, Outcome, Sample, build_report, report_rows
from barnabas.bench.usage import own_usage, process_usage
from barnabas.cli.bench_plan import make_plan, topic_names
from barnabas.cli.failure import EXIT_FAILURE, EXIT_INTERRUPTED, CommandError
from barnabas.cli.output import print_json, print_table, warn
from barnabas.wording import counted

if TYPE_CHECKING:
    from barnabas._core import LoadCounters, LoadGenerator

_TICK_S: Final = 0.25
_LOG_INTERVAL_S: Final = 1.0
_NOT_OPTIONS: Final = frozenset(
    ("run", "operation", "version", "properties", "json", "quiet", "hdr_out", "broker_pid")
)


class BenchRun:
    """One load, from its start to its end."""

    def __init__(self, args: argparse.Namespace, generator: "LoadGenerator") -> None:
        self.args = args
        self.interrupted_s: float | None = None  # when
        self._generator = generator
        self._histogram = empty_histogram()

    def run(self, log: HdrLog | None, status: "Status") -> Outcome:
        """Returns once the load is over. Raises CoreError when it fails."""
        self._generator.start(self.args.connect_timeout)
        measure_s = self._generator.measure_ns / 1e9
        is_over = self._wait_until(measure_s, None, status)
        begin = self._sample()
        if log is not None:
            log.restart()
        if not is_over:
            self._wait_until(float("inf"), log, status)
        end = self._sample()
        self._take_latencies(log)
        return self._outcome(begin, end)

    def _wait_until(self, until_s: float, log: HdrLog | None, status: "Status") -> bool:
        """Whether the load is over by then; an interrupt lets it end early."""
        next_log_s = time.monotonic() + _LOG_INTERVAL_S
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                if self._generator.wait(max(0.001, min(_TICK_S, left_s))):
                    return True
            except KeyboardInterrupt:
                if self.interrupted_s is not None:
                    raise
                self.interrupted_s = time.monotonic()
                self._generator.stop()
            if status.is_shown:
                status.update(_flow(self.args.operation, self._generator.counters()))
            if log is not None and time.monotonic() >= next_log_s:
                next_log_s += _LOG_INTERVAL_S
                self._take_latencies(log)
        return False

    def _take_latencies(self, log: HdrLog | None) -> None:
        taken = to_histogram(self._generator.take_latencies())
        if taken.get_total_count() == 0:
            return
        self._histogram.add(taken)
        if log is not None:
            log.write(taken)

    def _sample(self) -> Sample:
        pid = self.args.broker_pid
        broker = None
        if pid is not None:
            with contextlib.suppress(OSError):  # it has ended: the load says so itself
                broker = process_usage(pid)
        flow = _flow(self.args.operation, self._generator.counters())
        return Sample(time.monotonic(), flow, own_usage(), broker)

    def _outcome(self, begin: Sample, end: Sample) -> Outcome:
        counters = self._generator.counters()
        is_end_to_end = self.args.operation == "end-to-end"
        return Outcome(
            measured=_flow(self.args.operation, counters, "measured_"),
            total_records=_flow(self.args.operation, counters).records,
            elapsed_s=self._elapsed_s(counters.last_measured_ns / 1e9),
            histogram=self._histogram,
            latency_of="request" if self.args.operation == "consume" else "record",
            rate=getattr(self.args, "rate", 0),
            begin=begin,
            end=end,
            busiest_thread=max(
                (cpu_s / wall_s for cpu_s, wall_s in self._generator.usage() if wall_s > 0),
                default=0.0,
            ),
            errors={_error_name(code): count for code, count in sorted(counters.errors.items())},
            failed_requests=counters.failed_requests,
            unsent_records=counters.unsent_records,
            lost_records=(
                max(counters.produced_records - counters.fetched_records, 0) if is_end_to_end else 0
            ),
            corrupt_batches=counters.corrupt_batches,
            is_interrupted=self.interrupted_s is not None,
        )

    def _elapsed_s(self, last_s: float) -> float:
        """What the measured records took. Of an open loop that was interrupted, the time in which
        they became due: not that in which the rest was answered.
        """
        measure_s = self._generator.measure_ns / 1e9
        if self.interrupted_s is not None:
            end_s = self.interrupted_s if getattr(self.args, "rate", 0) else last_s
            return max(end_s - measure_s, 0.0)
        return max(last_s - measure_s, self.args.duration or 0.0)


class Status:
    """One line on a terminal that says how far the load is."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.is_shown = not args.quiet and sys.stderr.isatty()
        self._last = (time.monotonic(), Flow(0, 0, 0))
        self._begin_s = time.monotonic()
        self._total_s = args.warm_up + args.duration if args.duration is not None else None
        self._line: Any = None

    @contextlib.contextmanager
    def shown(self) -> Iterator["Status"]:
        """Shows it meanwhile."""
        if not self.is_shown:
            yield self
            return
        from rich.console import Console
        from rich.status import Status as Line

        self._line = Line("connecting", console=Console(stderr=True))
        with self._line:
            yield self

    def update(self, flow: Flow) -> None:
        """Tells what was done by now."""
        now_s = time.monotonic()
        last_s, last = self._last
        if now_s - last_s < _TICK_S:
            return
        self._last = (now_s, flow)
        done, span_s = flow - last, now_s - last_s
        elapsed = f"{now_s - self._begin_s:.0f}"
        total = "" if self._total_s is None else f" of {self._total_s:.0f}"
        self._line.update(
            f"{elapsed}{total} s: {done.requests / span_s:,.0f} requests/s, "
            f"{done.records / span_s:,.0f} records/s, {done.size_bytes / span_s / 1e6:,.1f} MB/s"
        )


def run_bench(args: argparse.Namespace) -> int:
    """Makes the plan, runs it, prints the report; the exit code."""
    from barnabas._core import CoreError, LoadGenerator

    if args.broker_pid is not None:
        _check_pid(args.broker_pid)
    plan, cluster = make_plan(args)
    _allow_connections(args.connections * 2 + len(cluster.brokers))
    with contextlib.ExitStack() as stack:
        log = None if args.hdr_out is None else stack.enter_context(_open_log(args))
        try:
            run = BenchRun(args, LoadGenerator(plan))
            with Status(args).shown() as status:
                outcome = run.run(log, status)
        except CoreError as error:
            raise CommandError(str(error)) from None
    report = {
        "operation": args.operation,
        "topics": topic_names(args),
        "partitions": len(cluster.partitions),
        "options": _options(args),
        **build_report(outcome),
    }
    _print_report(report, args)
    if run.interrupted_s is not None:
        return EXIT_INTERRUPTED
    has_failed = outcome.failed_requests or outcome.lost_records or outcome.corrupt_batches
    return EXIT_FAILURE if has_failed else 0


def _print_report(report: dict[str, Any], args: argparse.Namespace) -> None:
    if args.json:
        print_json(report)
        return
    topics = ", ".join(report["topics"][:3])
    title = f"{args.operation}: {topics}, {counted(report['partitions'], 'partition')}"
    print_table(("what", "value"), report_rows(report), title)
    for note in report["notes"]:
        warn(note)


def _options(args: argparse.Namespace) -> dict[str, object]:
    """The options that shape the load, by their names."""
    return {
        name: dict(value) if name == "config" else value
        for name, value in sorted(vars(args).items())
        if name not in _NOT_OPTIONS
    }


def _flow(operation: str, counters: "LoadCounters", prefix: str = "") -> Flow:
    """What the operation is about; for end-to-end, the producer's requests and what arrived."""
    asked = "fetched" if operation == "consume" else "produced"
    moved = "produced" if operation == "produce" else "fetched"
    names = (f"{asked}_requests", f"{moved}_records", f"{moved}_bytes")
    return Flow(*(getattr(counters, prefix + name) for name in names))


def _error_name(code: int) -> str:
    from confluent_kafka import KafkaError

    name: str = KafkaError(code).name()
    return name


def _check_pid(pid: int) -> None:
    try:
        process_usage(pid)
    except OSError as error:
        reason = "no such process" if isinstance(error, FileNotFoundError) else error.strerror
        raise CommandError(f"--broker-pid {pid}: {reason}") from None


def _open_log(args: argparse.Namespace) -> HdrLog:
    path: Path = args.hdr_out
    options = json.dumps(_options(args), ensure_ascii=False)
    try:
        return HdrLog(path, {"barnabas bench": args.operation, "options": options, "unit": "ns"})
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None


def _allow_connections(count: int) -> None:
    """Raises the limit of open files as far as the system lets us."""
    import resource

    spare = 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + spare
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise CommandError(f"{count} connections need more open files than the limit of {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
