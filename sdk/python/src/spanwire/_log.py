# SPDX-License-Identifier: Apache-2.0
"""Log lines of the SDK: a statement of what happened, then keys and values.

The lines have the same words and keys as those of the Go SDK, and the form of Go's `log/slog`:
`attached service=chat address=127.0.0.1:50051`. The keys are those of the project's glossary, which
a test compares. The facts of a record are also in its attribute `spanwire`, for formatters.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["debug", "error", "info", "to_standard_error", "warning"]

_logger = logging.getLogger("spanwire")
_PLAIN = re.compile(r'[^\s"=\x00-\x1f\x7f]+')


def debug(statement: str, **facts: Any) -> None:
    """Logs a line for the diagnosis of a program."""
    _write(logging.DEBUG, statement, facts)


def info(statement: str, **facts: Any) -> None:
    """Logs a line about normal operation."""
    _write(logging.INFO, statement, facts)


def warning(statement: str, **facts: Any) -> None:
    """Logs a line about a fault that the program survives."""
    _write(logging.WARNING, statement, facts)


def error(statement: str, *, exception: BaseException | None = None, **facts: Any) -> None:
    """Logs a line about an event or a command that failed.

    Args:
        statement: What happened.
        exception: The exception, whose traceback follows.
        **facts: The keys and values.
    """
    _write(logging.ERROR, statement, facts, exception)


def _write(level: int, statement: str, facts: dict[str, Any], exception: BaseException | None = None) -> None:
    if not _logger.isEnabledFor(level):
        return
    line = " ".join((statement, *(f"{key}={_to_text(value)}" for key, value in facts.items())))
    extra = {"spanwire": facts}
    _logger.log(level, "%s", line, exc_info=exception, extra=extra, stacklevel=3)


def _to_text(value: Any) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


@contextlib.contextmanager
def to_standard_error() -> Iterator[None]:
    """Writes log lines to standard error in the body, unless the program has configured logging."""
    if _logger.hasHandlers():
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y/%m/%d %H:%M:%S"))
    level = _logger.level
    _logger.addHandler(handler)
    if level == logging.NOTSET:
        _logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)
