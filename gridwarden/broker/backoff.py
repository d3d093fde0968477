"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator


def backoff(
    cap_s: float = 30.0,
    base_s: float = 0.5,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Iterator[float]:
    """Seconds to wait before each try, for ever: the first at once, then full jitter below a doubling, capped limit.

    Full jitter, because all gateways and sessions lose the same broker in the same moment and would otherwise
    come back in step.
    """
    yield 0.0
    limit_s = base_s
    while True:
        yield uniform(0.0, limit_s)
        limit_s = min(cap_s, limit_s * 2)
