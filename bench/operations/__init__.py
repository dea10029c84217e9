"""The list of what is measured."""

from bench.operation import Operation
from bench.operations import (
    clients,
    compaction,
    control,
    latency,
    lifecycle,
    matrix,
    requests,
    scale,
    transactions,
)


def all_operations() -> list[Operation]:
    """All of it, in the order of the report. Ids are unique."""
    modules = (
        clients,
        matrix,
        requests,
        transactions,
        latency,
        scale,
        control,
        lifecycle,
        compaction,
    )
    return [operation for module in modules for operation in module.operations()]
