"""What a configuration key is. Imports `validators`, `arguments` and `errors`."""

import enum
import os
import re
from collections.abc import Mapping
from numbers import Real
from typing import NamedTuple

from barnabas.arguments import check_mapping, wrong_type
from barnabas.config.validators import Validator
from barnabas.errors import ConfigError

Value = int | float | bool | str | tuple[str, ...] | None


class ConfigType(enum.IntEnum):
    """Types of values, with the numbers DescribeConfigs gives them."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    PASSWORD = 9


_INTEGER_BITS = {ConfigType.INT: 32, ConfigType.SHORT: 16, ConfigType.LONG: 64}
# What Java takes for a double, but for NaN, hexadecimal digits, and an f or d at the end.
_DOUBLE = re.compile(r"[+-]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_INTEGER = re.compile(r"[+-]?[0-9]+")


class Importance(enum.StrEnum):
    """How much a key matters to whoever runs a broker."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Update(enum.Enum):
    """When a key may change."""

    READ_ONLY = "read-only"  # at start
    DYNAMIC = "dynamic"  # at any time, through AlterConfigs


class Synonym(NamedTuple):
    """Another key that gives a value when this one does not, in another unit perhaps."""

    name: str
    factor: int = 1  # of its unit to the key's own


class Key(NamedTuple):
    """A configuration key of a topic or a broker."""

    name: str
    type: ConfigType
    default: Value
    doc: str
    importance: Importance = Importance.MEDIUM
    validator: Validator | None = None
    synonyms: tuple[Synonym, ...] = ()  # first the one that wins
    update: Update = Update.READ_ONLY
    nullable: bool = False
    internal: bool = False  # for tests: not described
    used: bool = True  # False: kept and shown, of no effect
    since: str = "0.1.0"  # the first release that has it

    def parse(self, text: str) -> Value:
        """The value of a text. Raises ConfigError with Kafka's message."""
        value = self._convert(text)
        if self.validator is not None:
            message = self.validator(value)
            if message is not None:
                raise ConfigError(
                    f"Invalid value {self._shown(value)} for configuration {self.name}: {message}"
                )
        return value

    def _convert(self, text: str) -> Value:
        trimmed = text.strip()
        if self.type in _INTEGER_BITS:
            limit = 1 << (_INTEGER_BITS[self.type] - 1)
            if _INTEGER.fullmatch(trimmed) and -limit <= int(trimmed) < limit:
                return int(trimmed)
            raise self._no_number(text)
        if self.type is ConfigType.BOOLEAN:
            if trimmed.lower() in ("true", "false"):
                return trimmed.lower() == "true"
            raise ConfigError(
                f"Invalid value {text} for configuration {self.name}: "
                "Expected value to be either true or false"
            )
        if self.type is ConfigType.DOUBLE:
            if _DOUBLE.fullmatch(trimmed):
                return float(trimmed)
            raise self._no_number(text)
        if self.type is ConfigType.LIST:
            items = tuple(re.split(r"\s*,\s*", trimmed)) if trimmed else ()
            if not all(items):
                raise ConfigError(f"Configuration '{self.name}' values must not be empty.")
            # Kafka keeps an entry of these once; what is only read at start has checks of its own.
            return tuple(dict.fromkeys(items)) if self.update is Update.DYNAMIC else items
        return trimmed

    def _no_number(self, text: str) -> ConfigError:
        return ConfigError(
            f"Invalid value {text} for configuration {self.name}: "
            f"Not a number of type {self.type.name}"
        )

    def _shown(self, value: Value) -> str:
        if isinstance(value, tuple):
            return f"[{', '.join(value)}]"
        return str(value)


def format_value(value: Value) -> str | None:
    """A value as a text that `Key.parse` reads."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return str(value).replace("e+", "E").replace("e", "E")  # as Java writes it
    return None if value is None else str(value)


def config_texts(
    argument: str, config: Mapping[str, Value | os.PathLike[str]] | None
) -> dict[str, str]:
    """A configuration with Python's values as texts; None is an empty one. Raises TypeError."""
    if config is None:
        return {}
    check_mapping(argument, config, "a dict of Kafka's keys to values")
    texts = {}
    for key, value in config.items():
        shown = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(shown, str | tuple | Real):
            hint = "without the key its default holds" if shown is None else ""
            name = f"{argument}[{key!r}]"
            raise wrong_type(name, value, "a str, int, float or bool", hint)
        texts[key] = format_value(shown) or ""
    return texts
