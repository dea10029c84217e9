"""Log lines on stderr, of Python and of the native core: as text or as JSON, one a line."""

import json
import logging
import sys
import time


class _TextFormatter(logging.Formatter):
    """`2026-01-31 12:00:00,123 INFO component: message`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.name = record.name.removeprefix("barnabas.")
        return super().format(record)


class _JsonFormatter(logging.Formatter):
    """An object a line: time, level, component, message, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "component": record.name.removeprefix("barnabas."),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up_logging(level: str, line_format: str) -> None:
    """Sends log lines to stderr from now on, the native core's too."""
    from barnabas._core import set_log_sink

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if line_format == "json" else _TextFormatter())
    root = logging.getLogger("barnabas")
    root.handlers = [handler]
    root.setLevel(level.upper())
    root.propagate = False
    set_log_sink(_log_core_line)


def _log_core_line(level: int, component: str, message: str) -> None:
    """A line of the native core, on one of its threads. Levels are the same."""
    logging.getLogger(f"barnabas.core.{component}").log(level, "%s", message)
