"""An InfluxDB that fails in every way while it is told to, and otherwise counts what it takes. A process of its own.

It keeps a number for each point instead of the point, so that a backlog of millions fits and costs little to take.
``GET /control/fail``, ``/control/hang``, ``/control/work`` and ``/control/account`` tell it what to do and ask what it has seen.
Run by ``test_history_stalled.py``; prints its address once it listens.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import threading
from array import array
from collections import Counter
from typing import Any

import numpy as np

from tests.gridwarden.history.influx_stand_in import (
    Fault,
    Handler,
    Server,
    StandIn,
    half,
    reply,
    reset,
    silence,
    status,
)  # fmt: skip

POINT = re.compile(r"^(\S+) .*\bmeta\.seq=(\d+)i\S* (\d+)$", re.MULTILINE)
WAYS = ("500", "429", "half", "silence", "reset")
"""To fail, in the order in which they come."""
ANSWER_LOST = {"half", "reset"}
"""What is written is kept, and will come again."""
LONGEST_S = 20
"""A request without an answer is let go after this time; the client gives up long before."""


class Failing(StandIn):
    """What it has taken, and how often it has failed and how."""

    def __init__(self) -> None:
        super().__init__()
        self.ways: tuple[str, ...] = ()
        self.working = threading.Event()
        self.failed: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()
        self._points = array("q")
        self._again = 0
        self._last: dict[str, int] = {}

    def fault(self, path: str) -> tuple[str, Fault]:
        """The next one: reads and writes each get all of them in turn."""
        ways: dict[str, Fault] = {
            "500": status(500, '{"code":"internal error","message":"an internal error has occurred"}'),
            "429": status(429, '{"code":"too many requests","message":"limited"}', Retry_After="1"),
            "half": half,
            "silence": silence(self.working, LONGEST_S),
            "reset": reset(),
        }
        with self.lock:
            name = self.ways[self._turns[path] % len(self.ways)]
            self._turns[path] += 1
            self.failed[f"{path.rpartition('/')[2]} {name}"] += 1
        return name, ways[name]

    def write(self, bucket: str, text: str) -> tuple[int, str]:
        """Count the points of each series, and whether they come in order."""
        found = POINT.findall(text)
        with self.lock:
            for series, number, at_ns in found:
                self._points.append(hash((series, at_ns)))
                if int(number) > self._last.get(series, -1):
                    self._last[series] = int(number)
                else:
                    self._again += 1
        return 204, ""

    def query(self, text: str) -> str | None:
        """It has taken nothing that could be shown."""
        return ""

    def account(self) -> dict[str, Any]:
        """``points`` are different ones; whatever came after a later one of its device is in ``again``."""
        with self.lock:
            points = len(np.unique(np.array(self._points, dtype="int64")))
            return {"points": points, "taken": len(self._points), "again": self._again, "failed": dict(self.failed)}


class FailingHandler(Handler):
    """One connection."""

    def answer(self) -> None:
        memory = self.server.memory
        assert isinstance(memory, Failing)
        if self.path.startswith("/control/"):
            self.control(memory, self.path.rpartition("/")[2])
        elif memory.ways:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            path = self.path.partition("?")[0]
            name, fault = memory.fault(path)
            if name in ANSWER_LOST and path.endswith("/write"):
                memory.write("", gzip.decompress(body).decode())
            fault(self, body)
        else:
            super().answer()

    def control(self, memory: Failing, word: str) -> None:
        """Fail in all ways, or hang, or work from now on; the account in any case."""
        told: dict[str, tuple[str, ...]] = {"fail": WAYS, "hang": ("silence",), "work": ()}
        if word in told:
            memory.ways = told[word]
            (memory.working.clear if memory.ways else memory.working.set)()
        reply(self, 200, json.dumps(memory.account()), Content_Type="application/json")

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, OSError):  # the other side has given up, or we have
            self.close_connection = True


def main() -> None:
    with Server(Failing(), handler=FailingHandler) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
