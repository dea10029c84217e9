"""The charts: which there are, their files, and what they are drawn from."""

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench.report.charts import charts_of
from bench.report.curves import percentile_line
from bench.report.style import DARK, LIGHT, is_log
from bench.results import OperationInfo, Results, Sample
from PIL import Image

from unit.bench_report.made_up import made_up_results

MOST_BYTES = 60_000  # a picture is kept in the repository


def run_of(*operations: OperationInfo, metrics: dict[str, float]) -> Results:
    samples = [Sample(operation.id, "barnabas", 0, metrics) for operation in operations]
    return Results("", "", "", {}, {}, list(operations), samples)


def names(results: Results) -> list[str]:
    return [chart.name for charts in charts_of(results).values() for chart in charts]


def test_files_are_named_by_group_and_metric() -> None:
    assert names(made_up_results()) == [
        "throughput-mb-per-s",
        "throughput-cpu-s-per-gb",
        "throughput-peak-rss-mb",
        "partitions-requests-per-s-by-partitions",
        "partitions-cpu-us-per-request-by-partitions",
        "latency-p50-ms",
        "latency-p99-ms",
        "latency-p999-ms",
        "latency-percentiles-latency-10k",
        "latency-percentiles-latency-full",
        "at-rest-start-s",
        "at-rest-idle-rss-mb",
        "at-rest-rss-kb-per-connection",
    ]


def test_pictures_are_small_and_the_same_every_time(tmp_path: Path) -> None:
    for charts in charts_of(made_up_results()).values():
        path = charts[0].write_png(tmp_path) if charts else None
        if path is None:
            continue
        with Image.open(path) as picture:
            picture.verify()
        assert path.stat().st_size < MOST_BYTES
        assert path.read_bytes() == charts[0].png(LIGHT)


def test_dark_picture_is_dark() -> None:
    chart = charts_of(made_up_results())["At rest"][0]
    for theme, low, high in [(LIGHT, 200, 255), (DARK, 0, 80)]:
        picture = Image.open(io.BytesIO(chart.png(theme))).convert("L")
        assert low <= np.asarray(picture).mean() <= high


def test_small_areas_keep_their_colour() -> None:
    results = made_up_results()
    results.samples = [
        replace(sample, metrics=dict.fromkeys(sample.metrics, 0.0)) for sample in results.samples
    ]
    for theme in (LIGHT, DARK):
        png = charts_of(results)["At rest"][0].png(theme)
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)
        found = {f"#{pixel.tobytes().hex()}" for pixel in np.unique(pixels, axis=0)}
        assert {theme.paper, theme.ink, *theme.peers.values()} <= found


def test_names_that_look_alike_as_files_stay_apart() -> None:
    one = OperationInfo("a", "a", "Größe", "", ("mb_per_s",))
    two = replace(one, id="b", group="groe")
    three = replace(one, id="c", group="Gr e")
    found = names(run_of(one, two, three, metrics={"mb_per_s": 1.0}))
    assert len(set(found)) == 3
    assert all(name.isascii() for name in found)


def test_operation_alone_on_an_axis_is_a_bar() -> None:
    operation = OperationInfo("a", "a", "g", "", ("mb_per_s",), "bytes", 100)
    assert names(run_of(operation, metrics={"mb_per_s": 1.0})) == ["g-mb-per-s"]


def test_two_operations_at_one_place_are_bars() -> None:
    produce = OperationInfo("a", "a", "g", "", ("mb_per_s",), "bytes", 100)
    fetch = replace(produce, id="b")
    assert names(run_of(produce, fetch, metrics={"mb_per_s": 1.0})) == ["g-mb-per-s"]


def test_load_generators_have_a_curve_each() -> None:
    operations = [
        OperationInfo(f"{generator}{place}", "", "g", generator, ("mb_per_s",), "bytes", place)
        for generator in ("java", "native")
        for place in (100, 1000)
    ]
    results = run_of(*operations, metrics={"mb_per_s": 1.0})
    assert names(results) == ["g-mb-per-s-by-bytes", "g-mb-per-s-by-bytes-2"]
    assert [c.title for c in charts_of(results)["g"]] == [
        "g: throughput by bytes (java)",
        "g: throughput by bytes (native)",
    ]


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-12, 1e12, math.nan])
@pytest.mark.parametrize("places", [(), (0, 10), (1, 10, 100)])
def test_odd_values_are_drawn(value: float, places: tuple[float, ...]) -> None:
    operation = OperationInfo("o", "$x^{ \n*", "g", "", ("mb_per_s", "no_such_metric"))
    operations = [
        replace(operation, id=f"o{place}", axis="bytes", axis_value=place) for place in places
    ] or [operation]
    results = run_of(*operations, metrics={"mb_per_s": value, "no_such_metric": 5.0})
    results.samples += [
        Sample(o.id, peer, 0, {"mb_per_s": 3.0})
        for o in operations
        for peer in ("kafka", "kernel", "redpanda")
    ]
    for chart in charts_of(results)["g"]:
        assert Image.open(io.BytesIO(chart.png(LIGHT))).size[0] > 0


def test_scale_is_logarithmic_only_for_wide_and_positive_values() -> None:
    assert is_log([1.0, 31.0])
    assert not is_log([1.0, 30.0])
    assert not is_log([0.0, 1.0, 1000.0])
    assert not is_log([5.0])
    assert not is_log([])


def test_percentiles_are_medians_of_repetitions_as_far_as_all_reach() -> None:
    line = percentile_line(
        "barnabas",
        [
            [(50.0, 1.0), (90.0, 2.0), (99.0, 30.0), (100.0, 500.0)],
            [(50.0, 3.0), (90.0, 4.0), (99.0, 10.0), (99.9, 90.0), (100.0, 500.0)],
            [(50.0, 2.0), (90.0, 9.0), (99.0, 20.0)],
        ],
    )
    assert line is not None
    assert line.x == pytest.approx([-math.log10(0.5), 1.0, 2.0])
    assert list(line.median) == [2.0, 4.0, 20.0]
    assert list(line.low) == [1.0, 2.0, 10.0]
    assert list(line.high) == [3.0, 9.0, 30.0]


def test_percentiles_that_have_no_place_make_no_line() -> None:
    assert percentile_line("kafka", []) is None
    assert percentile_line("kafka", [[(100.0, 7.0)]]) is None
    assert percentile_line("kafka", [[(50.0, 1.0)], [(90.0, 1.0)]]) is None
