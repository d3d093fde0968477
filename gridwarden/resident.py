"""What this process takes: memory and processor time."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PER_MB = 2**20


def resident_mb() -> float:
    """Memory that this process has in RAM; where the system does not tell, the most it ever had."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / _PER_MB if sys.platform == "darwin" else peak / 1024
    return pages * resource.getpagesize() / _PER_MB


def processor_s() -> float:
    """Processor time that this process has used since its start, in its own code and the system's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
