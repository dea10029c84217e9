"""Kafka's checks of configuration values, with Kafka's messages. Imports nothing of ours."""

import re
from collections.abc import Callable
from typing import Any

Validator = Callable[[Any], str | None]
"""What is wrong with a parsed value; None when nothing is."""


def at_least(minimum: float) -> Validator:
    """A number that is not below `minimum`."""
    return lambda value: f"Value must be at least {minimum}" if value < minimum else None


def between(minimum: float, maximum: float) -> Validator:
    """A number within limits that are themselves allowed."""

    def check(value: Any) -> str | None:
        if value < minimum:
            return f"Value must be at least {minimum}"
        if value > maximum:
            return f"Value must be no more than {maximum}"
        return None

    return check


def between_or(minimum: int, maximum: int, special: int) -> Validator:
    """A number within limits, or one that stands for something else."""

    def check(value: Any) -> str | None:
        if value == special or minimum <= value <= maximum:
            return None
        return f"Value must be between {minimum} and {maximum} or equal to {special}"

    return check


def not_empty(value: Any) -> str | None:
    """A list that has an entry."""
    return None if value else "There must be one at least; without the key its default holds"


def one_of(*allowed: str) -> Validator:
    """One of some words."""
    message = f"String must be one of: {', '.join(allowed)}"
    return lambda value: None if value in allowed else message


def list_of(*allowed: str) -> Validator:
    """A list of some words."""
    message = f"String must be one of: {', '.join(allowed)}"
    return lambda value: message if any(item not in allowed for item in value) else None


_THROTTLED_REPLICAS = re.compile(r"\d+:\d+")


def throttled_replicas(value: Any) -> str | None:
    """The replicas of a replication quota."""
    if list(value) == ["*"] or all(_THROTTLED_REPLICAS.fullmatch(item) for item in value):
        return None
    return (
        "Must be the literal '*' or a list of replicas in the following format: "
        "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
    )
