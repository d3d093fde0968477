"""The bench of an alarm beside a backlog: what it counts must come out even; nothing is asserted of speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("backlog_bench.py")


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize(("messages", "each"), [(30_000, 1), (10_000, 10), (2_500, 200)])
def test_nothing_of_a_backlog_is_lost_and_every_alarm_beside_it_is_told(
    messages: int, each: int, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, PROGRAM, "--json", "--messages", str(messages), "--readings-per-message", str(each)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    facts = json.loads(found.stdout)
    with capfd.disabled():
        sys.stdout.write(json.dumps(facts) + "\n")
    assert facts["backlog"]["waited_in_broker"] == messages
    assert (facts["lost"], facts["doubled"], facts["alarms"]["missing"]) == (0, 0, 0)
    assert facts["alarms"]["changes"] > 0
