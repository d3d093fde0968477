"""``gridwarden bench`` in its long form: prints what it finds, and asserts nothing of speed."""

import json
import subprocess
import sys

import pytest


@pytest.mark.long
@pytest.mark.process
def test_the_whole_chain_at_work(capfd: pytest.CaptureFixture[str]) -> None:
    command = (sys.executable, "-m", "gridwarden", "bench", "--json")
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    facts = json.loads(found.stdout)
    with capfd.disabled():
        sys.stdout.write(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    assert facts["chain"]["lost"] == 0
    assert all(lane["missing"] == 0 for lane in facts["latency"].values())
