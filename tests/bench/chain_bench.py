"""The whole chain against a bare paho subscriber, and from publication to websocket: ``gridwarden bench``.

``python tests/bench/chain_bench.py [--seconds 60] [--json]``; see docs/guide/performance.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gridwarden.cli.main import cli

if __name__ == "__main__":
    cli(["bench", *sys.argv[1:]])
