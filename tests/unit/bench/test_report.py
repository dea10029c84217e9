"""The report: rates, costs, and what it warns of."""

import os
from dataclasses import replace
from typing import Any

from barnabas.bench.latency import empty_histogram
from barnabas.bench.report import Flow, Outcome, Sample, build_report, report_rows
from barnabas.bench.usage import Usage, own_usage, process_usage


def outcome(**changes: Any) -> Outcome:
    histogram = empty_histogram()
    histogram.record_value(2_000_000, 500)
    begin = Sample(10.0, Flow(100, 1000, 10**6), Usage(1.0), Usage(2.0, context_switches=50))
    end = Sample(
        12.0,
        Flow(1100, 11_000, 10**9 + 10**6),
        Usage(1.5),
        Usage(4.0, rss_bytes=7, peak_rss_bytes=8, context_switches=1050),
    )
    whole = Outcome(
        measured=Flow(1000, 10_000, 10**9),
        total_records=11_000,
        elapsed_s=2.0,
        histogram=histogram,
        latency_of="record",
        rate=0,
        begin=begin,
        end=end,
        busiest_thread=0.5,
        errors={},
        failed_requests=0,
        unsent_records=0,
        lost_records=0,
        corrupt_batches=0,
    )
    return replace(whole, **changes)


def test_rates_and_costs_are_those_of_the_measured_time() -> None:
    report = build_report(outcome())
    assert report["requests_per_s"] == 500
    assert report["records_per_s"] == 5000
    assert report["mb_per_s"] == 500
    assert report["latency_samples"] == 500
    assert report["client"]["cpu_us_per_request"] == 500
    assert report["client"]["cpu_s_per_gb"] == 0.5
    assert report["broker"]["cpu_us_per_request"] == 2000
    assert report["broker"]["cpu_s_per_gb"] == 2
    assert report["broker"]["cores"] == 1
    assert report["broker"]["context_switches_per_request"] == 1
    assert report["notes"] == []


def test_a_client_that_used_more_than_the_broker_was_the_bottleneck() -> None:
    costly = replace(outcome().end, client=Usage(3.5))
    (note,) = build_report(outcome(end=costly))["notes"]
    assert note == "the client was the bottleneck: it used 2.50 CPU-s, the broker 2.00"


def test_a_saturated_thread_was_the_bottleneck() -> None:
    (note,) = build_report(outcome(busiest_thread=0.95))["notes"]
    assert "the client was the bottleneck: a thread of it was busy for 95%" in note


def test_an_open_loop_that_holds_its_rate_has_no_bottleneck() -> None:
    costly = replace(outcome().end, client=Usage(3.5))
    assert build_report(outcome(rate=5000, end=costly))["notes"] == []


def test_a_rate_that_was_not_held_is_said() -> None:
    notes = build_report(outcome(rate=6000, unsent_records=2000))["notes"]
    assert notes == [
        "the rate was not held: 5,000 of 6,000 records/s",
        "2,000 records that were due were never sent",
    ]


def test_lost_records_and_wrong_checksums_are_said() -> None:
    notes = build_report(outcome(lost_records=3, corrupt_batches=1))["notes"]
    assert notes == ["3 acknowledged records never came back", "1 batches had a wrong CRC"]


def test_nothing_measured_is_a_report_as_well() -> None:
    nothing = Flow(0, 0, 0)
    begin = replace(outcome().begin, broker=None)
    report = build_report(
        outcome(measured=nothing, elapsed_s=0, histogram=empty_histogram(), begin=begin, end=begin)
    )
    assert report["records_per_s"] == 0
    assert report["latency_ms"] is None
    assert report["broker"] is None
    assert dict(report_rows(report))["requests"] == "0 (0/s)"


def test_rows_have_what_people_look_for() -> None:
    rows = dict(report_rows(build_report(outcome(errors={"MESSAGE_TOO_LARGE": 4}))))
    assert rows["records"] == "10,000 (5,000/s)"
    assert rows["error MESSAGE_TOO_LARGE"] == "4"
    assert rows["broker CPU a GB"] == "2.00 s"
    assert rows["latency of a record, p99"].endswith(" ms")


def test_usage_of_a_process_is_read_from_proc() -> None:
    usage = process_usage(os.getpid())
    assert usage.rss_bytes > 1_000_000
    assert usage.peak_rss_bytes >= usage.rss_bytes
    assert usage.context_switches > 0
    assert abs(usage.cpu_s - own_usage().cpu_s) < 1


def test_an_interrupt_is_said_and_does_not_break_a_rate() -> None:
    stopped = outcome(rate=5000, elapsed_s=2.0, is_interrupted=True)
    assert build_report(stopped)["notes"] == ["interrupted after 2.0 s of what counts"]
    begin = outcome().begin
    warming = outcome(
        rate=5000, elapsed_s=0.0, measured=Flow(0, 0, 0), is_interrupted=True, end=begin
    )
    assert build_report(warming)["notes"] == [
        "interrupted while it warmed up: nothing was measured"
    ]
