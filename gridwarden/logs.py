"""Structured logs: one JSON object a line on standard error, or coloured lines on a terminal. Set up once, at a start.

Tracebacks come without the values of variables: among them are passwords and payloads.
"""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

_log = structlog.get_logger("process")


class _Stderr:
    """Whatever standard error is at the moment of writing."""

    def write(self, text: str) -> int:
        """As of a file."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """As of a file."""
        sys.stderr.flush()


def set_up(part: str, *, level: str = "info") -> None:
    """Configure logging of this process; ``part`` (core, web, run …) stands on every line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = _for_people() if sys.stderr.isatty() else _for_programs()
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(_Stderr()),  # type: ignore[arg-type]
    )
    structlog.contextvars.bind_contextvars(part=part)
    _set_up_libraries(shared, last)
    sys.excepthook = _last_words


def _for_people() -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _for_programs() -> list[Processor]:
    tracebacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [tracebacks, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]


def _set_up_libraries(shared: list[Processor], last: list[Processor]) -> None:
    """What libraries log by way of ``logging`` looks the same."""
    handler = logging.StreamHandler(_Stderr())
    named = structlog.stdlib.add_logger_name
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, named],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _last_words(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> Any:
    """A program that dies of an error says so in the same form."""
    if issubclass(kind, KeyboardInterrupt):
        return
    _log.critical("the process ends by an error", exc_info=(kind, error, traceback))
