"""The fixtures that Barnabas gives to other people's tests."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

ROUND_TRIP = """
    from confluent_kafka import Consumer, Producer

    def test_round_trip(barnabas_broker, barnabas_topic):
        producer = Producer({"bootstrap.servers": barnabas_broker.bootstrap_servers})
        producer.produce(barnabas_topic, b"value")
        assert producer.flush(20) == 0
        consumer = Consumer({
            "bootstrap.servers": barnabas_broker.bootstrap_servers,
            "group.id": "g",
            "auto.offset.reset": "earliest",
        })
        consumer.subscribe([barnabas_topic])
        assert consumer.poll(20).value() == b"value"
        consumer.close()
"""

TOPICS = """
    import pytest
    from confluent_kafka.admin import AdminClient

    def topics(broker):
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        return admin.list_topics(timeout=20).topics

    seen = []

    @pytest.mark.parametrize("odd", ["a b/ü", "[x]" * 200])
    def test_fresh(barnabas_broker, barnabas_topic, odd):
        assert barnabas_topic not in seen
        seen.append(barnabas_topic)
        assert barnabas_topic in topics(barnabas_broker)

    @pytest.mark.barnabas_topic(partitions=3)
    def test_three(barnabas_broker, barnabas_topic):
        assert len(topics(barnabas_broker)[barnabas_topic].partitions) == 3

    def test_deleted_by_the_test(barnabas_broker, barnabas_topic):
        barnabas_broker.delete_topic(barnabas_topic)

    def test_all_are_gone(barnabas_broker):
        assert not set(seen) & set(topics(barnabas_broker))
"""

CONFIGURED = """
    from confluent_kafka.admin import AdminClient, ConfigResource

    def test_configured(barnabas_broker):
        admin = AdminClient({"bootstrap.servers": barnabas_broker.bootstrap_servers})
        resource = ConfigResource(ConfigResource.Type.BROKER, "1")
        entries = admin.describe_configs([resource])[resource].result()
        assert entries["num.partitions"].value == "7"
        assert entries["log.retention.hours"].value == "5"
"""


OWN = """
    import pytest

    seen = []

    @pytest.mark.parametrize("number", range(2))
    def test_fresh(barnabas_fresh, barnabas_broker, number):
        barnabas_fresh.create_topic("t")
        seen.append(barnabas_fresh.bootstrap_servers)
        assert barnabas_broker.bootstrap_servers not in seen

    @pytest.mark.barnabas(config={"num.partitions": 7})
    class TestConfigured:
        def test_by_class(self, barnabas_fresh):
            assert barnabas_fresh.services.config.integer("num.partitions") == 7
            assert barnabas_fresh.services.config.integer("log.retention.hours") == 5

        @pytest.mark.barnabas(config={"num.partitions": 8})
        def test_closer(self, barnabas_clock):
            assert barnabas_clock.services.config.integer("num.partitions") == 8
"""

CLOCK = """
    def test_retention(barnabas_clock):
        barnabas_clock.create_topic("t", config={"retention.ms": 3_600_000})
        barnabas_clock.producer().send("t", b"value").result(20)
        barnabas_clock.clock.advance(hours=2)
        assert barnabas_clock.services.core.partition_info("t", 0).log_start_offset == 1
"""


FORKED = """
    import barnabas
    import pytest

    made = []

    @pytest.fixture(scope="session")
    def barnabas_template(barnabas_template):
        made.append(barnabas_template)
        producer = barnabas_template.producer()
        producer.send_many("orders", [b"apples", b"pears"]).result()
        return barnabas_template

    @pytest.mark.parametrize("number", range(4))
    def test_each_has_all_and_none_has_another_ones(barnabas_fork, number):
        assert len(made) == 1
        assert barnabas_fork is not made[0]
        barnabas_fork.producer().send("orders", b"%d" % number).result()
        consumer = barnabas_fork.consumer(["orders"], auto_offset_reset="earliest", timeout=0)
        assert [value for batch in consumer for value in batch.values] == [
            b"apples", b"pears", b"%d" % number
        ]

    @pytest.mark.barnabas(config={"num.partitions": 7})
    def test_configured(barnabas_fork):
        assert barnabas_fork.services.config.integer("num.partitions") == 7
        assert barnabas_fork.services.config.integer("log.retention.hours") == 5
"""

OWN_TEMPLATE = """
    import barnabas
    import pytest

    @pytest.fixture(scope="session")
    def barnabas_template():
        with barnabas.Broker(clock=barnabas.VirtualClock()) as broker:
            broker.create_topic("t", config={"retention.ms": 3_600_000})
            broker.producer().send("t", b"value").result()
            yield broker

    @pytest.mark.parametrize("number", range(2))
    def test_time(barnabas_fork, number):
        assert barnabas_fork.services.core.partition_info("t", 0).log_start_offset == 0
        barnabas_fork.clock.advance(hours=2)
        assert barnabas_fork.services.core.partition_info("t", 0).log_start_offset == 1
"""


ONE_BROKER = """
    import pytest

    @pytest.fixture
    def app(barnabas_fresh):
        return barnabas_fresh

    def test_fresh_and_clock(app, barnabas_clock, barnabas_topic):
        assert app is barnabas_clock
        barnabas_clock.clock.advance(days=1)
        assert app.producer().send(barnabas_topic, b"x", timestamp=5).result(5).offset == 0

    @pytest.mark.barnabas(config={"auto.create.topics.enable": False})
    def test_topic_on_a_fork(barnabas_fork, barnabas_topic):
        assert barnabas_fork.producer().send(barnabas_topic, b"x").result(5).offset == 0

    def test_topic_beside_it(barnabas_fresh, barnabas_broker, barnabas_topic):
        assert barnabas_topic in barnabas_broker.services.catalog.names()
        assert barnabas_topic not in barnabas_fresh.services.catalog.names()

    def test_of_two(barnabas_fresh, barnabas_fork, barnabas_topic):
        pass

    def test_too_late(barnabas_fresh, request):
        request.getfixturevalue("barnabas_clock")
"""


def test_a_tests_own_broker_is_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ONE_BROKER)
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(passed=3, errors=1, failed=1)
    result.stdout.fnmatch_lines(["*barnabas_topic cannot be on barnabas_fork and on bar*"])
    result.stdout.fnmatch_lines(["*barnabas_fresh has begun without a clock: name barnabas_clock*"])


def test_a_test_gets_a_broker_that_clients_can_use(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ROUND_TRIP)
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=1)


def test_each_test_gets_its_own_topic_which_is_deleted(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TOPICS)
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=5)


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "xdist"])
def test_a_test_can_have_a_broker_of_its_own(
    pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    pytester.makeini("[pytest]\nbarnabas_config =\n  num.partitions=2\n  log.retention.hours = 5\n")
    pytester.makepyfile(OWN)
    pytester.runpytest_subprocess("--strict-markers", *workers).assert_outcomes(passed=4)


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "xdist"])
def test_a_test_can_have_a_fork_of_what_was_set_up_once(
    pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    pytester.makeini("[pytest]\nbarnabas_config =\n  log.retention.hours = 5\n")
    pytester.makepyfile(FORKED)
    pytester.runpytest_subprocess("--strict-markers", *workers).assert_outcomes(passed=5)


def test_the_template_can_be_a_broker_of_the_users_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(OWN_TEMPLATE)
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=2)


def test_a_test_can_move_the_time(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CLOCK)
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=1)


@pytest.mark.parametrize("arguments", ["3", "settings={}"])
def test_a_configuration_of_another_form_is_refused(
    pytester: pytest.Pytester, arguments: str
) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.barnabas({arguments})
        def test_own(barnabas_fresh): pass
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*barnabas(*): it takes config={*}, by name*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_configuration_that_is_no_dict_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.barnabas(config=[1])
        def test_own(barnabas_fresh): pass
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*barnabas(config=[[]1]): config is a dict of Kafka's keys*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_configuration_of_a_test_for_the_sessions_broker_is_refused(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.barnabas(config={"num.partitions": 3})

        def test_session(barnabas_broker): pass
        def test_topic(barnabas_topic): pass
        def test_own(barnabas_fresh, barnabas_broker): pass
        def test_none(): pass
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(errors=2, passed=2)
    result.stdout.fnmatch_lines(["*barnabas configures barnabas_clock, barnabas_fork, *"])


def test_a_configuration_for_the_sessions_broker_by_another_way_is_refused(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.barnabas(config={"num.partitions": 3})

        def test_session(request): request.getfixturevalue("barnabas_broker")
        def test_again(request): request.getfixturevalue("barnabas_topic")
        def test_own(request): request.getfixturevalue("barnabas_fresh")
        def test_fork(request): request.getfixturevalue("barnabas_fork")
        def test_both(barnabas_clock, request): request.getfixturevalue("barnabas_broker")
        def test_none(request): pass
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(errors=2, passed=6)
    result.stdout.fnmatch_lines(["*barnabas configures barnabas_clock, barnabas_fork, *"])


def test_the_command_line_is_stronger_than_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nbarnabas_config =\n  num.partitions=2\n  log.retention.hours = 5\n")
    pytester.makepyfile(CONFIGURED)
    result = pytester.runpytest_subprocess("--barnabas-config", "num.partitions=7")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("arguments", ["3", "partition=3", "3, config={}"])
def test_a_marker_with_other_arguments_is_refused(
    pytester: pytest.Pytester, arguments: str
) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.barnabas_topic({arguments})
        def test_topic(barnabas_topic): pass
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*barnabas_topic(*): it takes partitions=N*by name*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("num.partitions", "not KEY=VALUE"),
        ("num.partition=3", "num.partition"),
        ("listeners=", "listeners"),
    ],
)
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "xdist"])
def test_a_bad_setting_is_one_usage_error(
    pytester: pytest.Pytester, setting: str, message: str, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile("def test_1(barnabas_broker): pass\ndef test_2(barnabas_broker): pass")
    result = pytester.runpytest_subprocess("--barnabas-config", setting, *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (error,) = [line for line in result.errlines if line]
    assert error.startswith("ERROR: ")
    assert message in error


def test_a_run_that_uses_no_fixture_imports_nothing_of_the_broker(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_light():
            ours = {name for name in sys.modules if name.partition(".")[0] == "barnabas"}
            assert ours <= {"barnabas", "barnabas.pytest_plugin"}
            assert "confluent_kafka" not in sys.modules
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["alone", "xdist"])
def test_the_package_is_imported_as_it_is_without_pytest(
    pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    """A broker's thread that rewrote asserts would parse while the test's own thread does."""
    pytester.makeconftest("import barnabas.closing")
    pytester.makepyfile(
        """
        import sys

        def test_no_loader_is_pytests(barnabas_broker):
            loaders = {
                name: module.__spec__.loader
                for name, module in sys.modules.items()
                if name.startswith("barnabas.") and name != "barnabas.pytest_plugin"
            }
            assert "barnabas.closing" in loaders
            assert "barnabas.broker" in loaders
            rewritten = [n for n, one in loaders.items() if "pytest" in type(one).__module__]
            assert rewritten == []
        """
    )
    pytester.runpytest_subprocess(*workers).assert_outcomes(passed=1)


def test_importing_the_plugin_is_cheap() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import barnabas.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "kio", "asyncio", "sqlite3", "rich", "barnabas._core"}
    assert not heavy & set(run.stdout.split())
