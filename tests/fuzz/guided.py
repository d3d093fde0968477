"""Fuzzing with coverage as its guide (atheris, on libFuzzer): a child process per target, since it never returns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.target import FOUND

INSTRUMENTED = ["gridwarden", "ingest", "rules", "simulators", "yaml", "paho"]
UNIT_TIMEOUT_S = 20
MEMORY_MB = 2_048
_UNITS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_PEAK = re.compile(r"stat::peak_rss_mb:\s*(\d+)")


@dataclass
class Guided:
    """What one target came to."""

    name: str
    inputs: int
    peak_mb: int
    failed: bool
    said: str = ""
    """The last lines of one that failed."""


def installed() -> bool:
    """Whether atheris is there."""
    try:
        import atheris  # noqa: F401, PLC0415 - only to see
    except ImportError:
        return False
    return True


def guide(name: str, seconds: float) -> Guided:
    """Fuzz one target in a child; what it dies of is kept where the tests find it."""
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        command = [
            sys.executable, "-m", "tests.fuzz.guided", name, corpus, f"-max_total_time={max(1, round(seconds))}", f"-timeout={UNIT_TIMEOUT_S}",
            f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={folder}/",
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": os.getcwd()})  # noqa: PTH109
    said = ended.stderr.decode("utf-8", "replace") + ended.stdout.decode("utf-8", "replace")
    units, peak = _UNITS.search(said), _PEAK.search(said)
    if not any(folder.iterdir()):
        folder.rmdir()
    failed = ended.returncode != 0
    return Guided(
        name, int(units[1]) if units else 0, int(peak[1]) if peak else 0, failed, said[-2_000:] if failed else ""
    )


def child() -> None:
    """Never returns."""
    import atheris  # noqa: PLC0415 - only here, and before what it instruments

    name, corpus = sys.argv[1:3]
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.targets import FILES  # noqa: PLC0415 - see above
    import structlog  # noqa: PLC0415

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    target = next(target for target in FILES if target.name == name)
    for number, example in enumerate(target.examples):
        (Path(corpus) / f"example-{number}").write_bytes(example)

    def one(data: bytes) -> None:
        target.feed(data)

    atheris.Setup([sys.argv[0], corpus, f"-max_len={min(target.limit, 4096)}", *sys.argv[3:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    child()
