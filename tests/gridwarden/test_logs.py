"""One JSON object a line, from us, from libraries and from a death; never the values of variables."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SET_UP = "from gridwarden import logs; import logging, structlog, warnings; logs.set_up('core')\n"


def logged(program: str) -> list[dict[str, Any]]:
    """The log of a process of its own: logging is set up once in a process."""
    command = [sys.executable, "-c", SET_UP + program]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.stdout == b""
    return [json.loads(line) for line in done.stderr.decode().splitlines()]


def test_a_line() -> None:
    (line,) = logged("structlog.get_logger('x').info('broker.started', host='杭州', at=object)")
    assert (line["event"], line["part"], line["level"], line["host"]) == ("broker.started", "core", "info", "杭州")
    assert line["timestamp"].endswith("Z")


def test_libraries_speak_the_same_way() -> None:
    (line,) = logged("logging.getLogger('asyncio').warning('slow: %s', 'x')")
    assert (line["event"], line["logger"], line["level"], line["part"]) == ("slow: x", "asyncio", "warning", "core")


@pytest.mark.parametrize(
    "program",
    [
        "def f(password):\n raise ValueError('wrong')\nf('hunter2')",
        "import asyncio\nasync def f(password):\n raise ExceptionGroup('two', [ValueError('wrong')])\nasyncio.run(f('hunter2'))",
        "try:\n password = 'hun' + 'ter2'; 1 / 0\nexcept ZeroDivisionError:\n structlog.get_logger().error('x', exc_info=True)",
    ],
)
def test_a_traceback_is_one_line_without_values(program: str) -> None:
    (line,) = logged(program)
    assert line["exception"]
    assert "hunter2" not in json.dumps(line)


def test_the_level_holds() -> None:
    assert logged("logs.set_up('demo', level='warning'); structlog.get_logger().info('quiet')") == []
