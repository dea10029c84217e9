from bench.figures import figures
from bench.results import Figure, OperationInfo, Results, Sample

FLUSHED = "requests-flushed"


def results_of(*samples: tuple[str, str, dict[str, float]]) -> Results:
    ids = dict.fromkeys(operation for operation, _, _ in samples)
    return Results(
        command="",
        date="2026-01-01",
        commit="",
        machine={},
        peers={},
        operations=[OperationInfo(name, name, "group", "generator", ()) for name in ids],
        samples=[
            Sample(operation, peer, number, metrics)
            for number, (operation, peer, metrics) in enumerate(samples)
        ],
    )


def figure(results: Results, words: str) -> Figure:
    (found,) = (figure for figure in figures(results) if words in figure.operation)
    return found


def test_a_ratio_of_medians_decides() -> None:
    speeds = [("barnabas", 310.0), ("barnabas", 210.0), ("barnabas", 300.0), ("kafka", 100.0)]
    run = results_of(*((FLUSHED, peer, {"requests_per_s": speed}) for peer, speed in speeds))
    found = figure(run, "flush.messages=1")
    assert found.is_reached
    assert "3 (≥ 3)" in found.measured
    run = results_of(*((FLUSHED, peer, {"requests_per_s": speed}) for peer, speed in speeds[1:]))
    assert not figure(run, "flush.messages=1").is_reached


def test_one_bound_that_does_not_hold_is_enough() -> None:
    run = results_of(
        ("start-first-record", "barnabas", {"start_s": 0.3}),
        ("start-first-record", "kafka", {"start_s": 4.0}),
    )
    found = figure(run, "first acknowledged record")
    assert found.is_reached is False
    assert "s 0.3 (≤ 0.2); over Kafka's 0.075 (≤ 0.1)" in found.measured


def test_the_worst_cell_counts() -> None:
    cells = {"produce-acks-1-1p-none": 3.0, "produce-acks-all-16p-lz4": 1.9}
    samples = [(name, "barnabas", {"mb_per_s": 100 * over}) for name, over in cells.items()]
    samples += [(name, "kafka", {"mb_per_s": 100.0}) for name in cells]
    found = figure(results_of(*samples), "every cell, native")
    assert not found.is_reached
    assert "produce, worst cell (all-16p-lz4) over Kafka's 1.9 (≥ 2)" in found.measured


def test_a_cell_that_failed_is_the_worst() -> None:
    name = "produce-acks-1-1p-none"
    run = results_of((name, "barnabas", {}), (name, "kafka", {"mb_per_s": 100.0}))
    found = figure(run, "every cell, native")
    assert found.is_reached is False
    assert "(1-1p-none) over Kafka's 0 (≥ 2)" in found.measured


def test_a_figure_is_not_reached_before_all_of_it_is_measured() -> None:
    run = results_of(("idle-memory", "barnabas", {"idle_rss_mb": 30.0}))
    assert figure(run, "memory").is_reached is None
    run = results_of(("idle-memory", "barnabas", {"idle_rss_mb": 50.0}))
    assert figure(run, "memory").is_reached is False


def test_what_was_not_measured_is_said_to_be() -> None:
    found = figures(results_of())
    assert found
    assert all(figure.is_reached is None and figure.measured == "–" for figure in found)
    assert all("≤" in figure.target or "≥" in figure.target for figure in found)


def test_repetitions_that_do_not_agree_decide_nothing() -> None:
    def outcome(*kafka: float) -> Figure:
        samples = [(FLUSHED, "barnabas", {"requests_per_s": 300.0})]
        samples += [(FLUSHED, "kafka", {"requests_per_s": speed}) for speed in kafka]
        return figure(results_of(*samples), "flush.messages=1")

    wide = outcome(80.0, 95.0, 130.0)
    assert wide.is_reached is None
    assert not wide.is_decided
    assert "3.16 (≥ 3; undecided, 2.31 – 3.75)" in wide.measured
    close = outcome(90.0, 95.0, 110.0)
    assert close.is_reached
    assert close.is_decided
    far = outcome(20.0, 30.0, 60.0)  # apart, but each of them says the same
    assert far.is_reached
    assert far.is_decided


def test_one_that_is_missed_for_certain_is_missed() -> None:
    run = results_of(
        ("start-first-record", "barnabas", {"start_s": 0.3}),
        ("start-first-record", "kafka", {"start_s": 2.0}),
        ("start-first-record", "kafka", {"start_s": 3.1}),
    )
    found = figure(run, "first acknowledged record")
    assert found.is_reached is False
    assert found.is_decided


def test_097_is_enough_only_where_the_client_is_the_bottleneck() -> None:
    def outcome(client_thread: float) -> Figure:
        name = "client-produce-acks-1-1p-none"
        used = {"client_thread": client_thread, "busy_cores": client_thread + 0.1}
        run = results_of(
            *((name, peer, {"mb_per_s": 100.0, **used}) for peer in ("kafka", "tansu")),
            (name, "barnabas", {"mb_per_s": 98.0, **used}),
        )
        return figure(run, "one librdkafka client, every cell")

    bound = outcome(0.95)
    assert bound.is_reached
    assert "over Kafka's (the client is the bottleneck) 0.98 (≥ 0.97)" in bound.measured
    free = outcome(0.5)
    assert free.is_reached is False
    assert "over Tansu's (it is not the client) 0.98 (≥ 1)" in free.measured


def test_every_cell_that_is_missed_is_named() -> None:
    names = ["client-produce-a", "client-fetch-b", "client-fetch-c"]
    speeds = [90.0, 80.0, 120.0]
    samples = [(n, "barnabas", {"mb_per_s": v}) for n, v in zip(names, speeds, strict=True)]
    samples += [(n, "kafka", {"mb_per_s": 100.0}) for n in names]
    found = figure(results_of(*samples), "one librdkafka client, every cell")
    assert "client-produce-a over" in found.measured
    assert "client-fetch-b over" in found.measured
    assert "client-fetch-c over" not in found.measured
