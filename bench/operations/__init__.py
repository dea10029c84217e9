"""The list of what is measured."""

from bench.operation import Operation
from bench.operations import clients, control, latency, lifecycle, matrix, requests, scale


def all_operations() -> list[Operation]:
    """All of it, in the order of the report. Ids are unique."""
    modules = (clients, matrix, requests, latency, scale, control, lifecycle)
    return [operation for module in modules for operation in module.operations()]
