"""Pytest fixtures: a Kafka broker for tests, and a fresh topic on it.

    def test_orders(barnabas_broker, barnabas_topic):
        run_my_application(barnabas_broker.bootstrap_servers, topic=barnabas_topic)

`barnabas_broker`  one `barnabas.Broker` for the session (with pytest-xdist, for each worker), on a
                   free port and a temporary directory. Its configuration, by Kafka's keys, comes
                   from the ini option `barnabas_config`, one KEY=VALUE a line, and from
                   `--barnabas-config KEY=VALUE` on the command line, which is stronger.
`barnabas_topic`   the name of a topic that only this test has; it is deleted afterwards. It has one
                   partition, or what a marker says:
                   `@pytest.mark.barnabas_topic(partitions=3, config={"cleanup.policy": "compact"})`
                   It is on `barnabas_broker`, or where a test has but a broker of its own, on that.
`barnabas_fresh`   a broker of the test's own, with what a marker says on top of that configuration:
                   `@pytest.mark.barnabas(config={"num.partitions": 3})`
`barnabas_clock`   the same with a `barnabas.VirtualClock`: `barnabas_clock.clock.advance(days=7)`.
                   A test that has `barnabas_fresh` too, or a fixture of its, has one broker.
`barnabas_fork`    a fork of `barnabas_template` that only this test has, however much that holds:
                   one expensive set-up, many tests. A marker configures it like `barnabas_fresh`.
`barnabas_template`  a broker for the session (with pytest-xdist, for each worker), empty until a
                   fixture of your own with the same name and scope has filled it:

    @pytest.fixture(scope="session")
    def barnabas_template(barnabas_template):
        load_a_million_orders(barnabas_template)
        return barnabas_template

Every pytest run of an environment with Barnabas installed imports this module, so it imports
nothing but pytest, and nothing happens in a run that uses neither fixture.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from barnabas.embed import Broker, ConfigValue

_BROKERS: Final = frozenset(
    (
        "barnabas_broker",
        "barnabas_topic",
        "barnabas_fresh",
        "barnabas_clock",
        "barnabas_template",
    )
)
_OWN: Final = frozenset(("barnabas_fresh", "barnabas_clock", "barnabas_fork"))
_NAME_CHARS_MAX: Final = 200  # of the test's name in its topic's; Kafka allows 249 in all
_TOPIC_OPTIONS: Final = frozenset(("partitions", "config"))
_NOT_ALLOWED: Final = re.compile(r"[^a-zA-Z0-9._-]+")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --barnabas-config and the ini option barnabas_config."""
    parser.addini(
        "barnabas_config",
        "configuration of the broker that tests get as barnabas_broker, one KEY=VALUE a line",
        type="linelist",
        default=[],
    )
    parser.getgroup("barnabas").addoption(
        "--barnabas-config",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="configure the broker that tests get as barnabas_broker; repeatable",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker, for runs with --strict-markers; refuses settings of a bad form."""
    _settings(config)
    config.addinivalue_line(
        "markers",
        "barnabas(config=None): how barnabas_fresh, barnabas_clock or barnabas_fork is configured",
    )
    config.addinivalue_line(
        "markers",
        "barnabas_topic(partitions=1, config=None): what the barnabas_topic fixture makes",
    )


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Keeps pytest from rewriting the asserts of this package, as it does with all of a plugin's.

    To rewrite is to parse, and a broker imports handlers on its own thread when they are needed:
    CPython 3.11 before 3.11.8 cannot make syntax trees in two threads at once (gh-106905).
    """
    hook = early_config.pluginmanager.rewrite_hook
    getattr(hook, "_must_rewrite", set()).discard("barnabas")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """With pytest-xdist, refuses settings that no broker takes before it starts its workers."""
    settings = _settings(session.config)
    if settings and session.config.pluginmanager.hasplugin("dsession"):
        _check(settings)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuses settings that no broker takes, once, and not again in each test that wants one."""
    if hasattr(session.config, "workerinput"):  # of pytest-xdist
        return
    settings = _settings(session.config)
    if settings and any(_BROKERS & {*_fixtures(item)} for item in session.items):
        _check(settings)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuses a configuration of a test's own for the session's brokers."""
    _refuse_session_broker(item, {*_fixtures(item)})


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """As before the test, of what it has got by `getfixturevalue`."""
    if not _BROKERS & {*_fixtures(item)}:
        request = getattr(item, "_request", None)  # a test that is no function has none
        if request is not None:
            _refuse_session_broker(item, {*request._fixture_defs})


def _refuse_session_broker(item: pytest.Item, names: set[str]) -> None:
    if names & _OWN or not names & _BROKERS or item.get_closest_marker("barnabas") is None:
        return
    pytest.fail(
        f"@pytest.mark.barnabas configures {', '.join(sorted(_OWN))}: the session's broker has its "
        "configuration from barnabas_config, or --barnabas-config",
        pytrace=False,
    )


@pytest.fixture(scope="session")
def barnabas_broker(request: pytest.FixtureRequest) -> "Iterator[Broker]":
    """A Kafka broker in this process; `barnabas_broker.bootstrap_servers` is for any client."""
    from barnabas.embed import Broker

    with Broker(config=_settings(request.config)) as broker:
        yield broker


@pytest.fixture
def _barnabas_own(request: pytest.FixtureRequest) -> "Iterator[Broker]":
    """The broker of a test that has `barnabas_fresh`, `barnabas_clock` or both."""
    from barnabas.clock import VirtualClock
    from barnabas.embed import Broker

    clock = VirtualClock() if "barnabas_clock" in request.fixturenames else None
    with Broker(config=_own_settings(request), clock=clock) as broker:
        yield broker


@pytest.fixture
def barnabas_fresh(_barnabas_own: "Broker") -> "Broker":
    """A Kafka broker that only this test has."""
    return _barnabas_own


@pytest.fixture
def barnabas_clock(_barnabas_own: "Broker") -> "Broker":
    """A Kafka broker that only this test has, whose time the test moves by `.clock.advance()`."""
    if _barnabas_own._clock is None:
        pytest.fail(
            "barnabas_fresh has begun without a clock: name barnabas_clock among the arguments of "
            "the test",
            pytrace=False,
        )
    return _barnabas_own


@pytest.fixture(scope="session")
def barnabas_template(request: pytest.FixtureRequest) -> "Iterator[Broker]":
    """The broker that `barnabas_fork` is a fork of: no test's, but for a fixture to set up."""
    from barnabas.embed import Broker

    with Broker(config=_settings(request.config)) as broker:
        yield broker


@pytest.fixture
def barnabas_fork(
    request: pytest.FixtureRequest, barnabas_template: "Broker"
) -> "Iterator[Broker]":
    """A Kafka broker that only this test has, with all that is in `barnabas_template`."""
    with barnabas_template.fork(config=_marked_settings(request)) as broker:
        yield broker


@pytest.fixture
def barnabas_topic(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a new topic on `barnabas_broker`, or on the broker that only this test has; the
    topic goes when the test is over.
    """
    from barnabas.errors import BrokerClosed, KafkaError

    broker: Broker = request.getfixturevalue(_broker_of_topic({*request.fixturenames}))
    marker = request.node.get_closest_marker("barnabas_topic")
    options = {} if marker is None else _topic_options(marker)
    test = _NOT_ALLOWED.sub("-", request.node.name)[:_NAME_CHARS_MAX]
    name = f"{test}-{uuid.uuid4().hex[:12]}"
    broker.create_topic(name, **options)
    yield name
    try:
        broker.delete_topic(name)
    except BrokerClosed:
        pass  # the test closed it
    except KafkaError as error:
        if error.code.name != "unknown_topic_or_partition":  # the test may have deleted it
            raise


def _broker_of_topic(names: set[str]) -> str:
    """The fixture with the broker that `barnabas_topic` is on, among all that a test has."""
    own = sorted(_OWN & names)
    if "barnabas_broker" in names or not own:
        return "barnabas_broker"
    if "barnabas_fork" in own and len(own) > 1:
        pytest.fail(
            f"barnabas_topic cannot be on {' and on '.join(own)}, which are brokers of their own: "
            "create_topic() of each makes one",
            pytrace=False,
        )
    return own[0]


def _settings(config: pytest.Config) -> dict[str, str]:
    lines = [*config.getini("barnabas_config"), *config.getoption("--barnabas-config")]
    return dict(map(_setting, lines))


def _own_settings(request: pytest.FixtureRequest) -> "dict[str, ConfigValue]":
    """The session's configuration, and what the test's markers add, the closest the strongest."""
    return {**_settings(request.config), **_marked_settings(request)}


def _marked_settings(request: pytest.FixtureRequest) -> "dict[str, ConfigValue]":
    settings: dict[str, ConfigValue] = {}
    for marker in reversed(list(request.node.iter_markers("barnabas"))):
        if marker.args or not marker.kwargs.keys() <= {"config"}:
            _refuse(marker, "config={…}")
        config = marker.kwargs.get("config") or {}
        if not isinstance(config, Mapping):
            pytest.fail(
                f"@pytest.mark.barnabas(config={config!r}): config is a dict of Kafka's keys to "
                "values",
                pytrace=False,
            )
        settings |= config
    return settings


def _refuse(marker: pytest.Mark, wanted: str) -> NoReturn:
    given = [*map(repr, marker.args), *(f"{name}=…" for name in marker.kwargs)]
    pytest.fail(
        f"@pytest.mark.{marker.name}({', '.join(given)}): it takes {wanted}, by name",
        pytrace=False,
    )


def _topic_options(marker: pytest.Mark) -> dict[str, Any]:
    if marker.args or not marker.kwargs.keys() <= _TOPIC_OPTIONS:
        _refuse(marker, "partitions=N and config={…}")
    return dict(marker.kwargs)


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])  # items that are no functions have none


def _check(settings: dict[str, str]) -> None:
    from barnabas.config.broker_keys import EMBEDDED_DEFAULTS
    from barnabas.config.start import make_start_config
    from barnabas.errors import ConfigError

    try:
        make_start_config(
            [("barnabas_config", settings)], data_dirs=[Path()], defaults=EMBEDDED_DEFAULTS
        )
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None


def _setting(line: str) -> tuple[str, str]:
    key, separator, value = line.partition("=")
    if not separator:
        raise pytest.UsageError(f"barnabas_config: {line!r} is not KEY=VALUE")
    return key.strip(), value.strip()
