from itertools import islice

from gridwarden.broker.backoff import backoff


def test_the_first_try_is_at_once_and_the_limit_doubles_up_to_the_cap() -> None:
    limits = backoff(cap_s=4.0, base_s=0.5, uniform=lambda _low, high: high)

    assert list(islice(limits, 7)) == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_every_wait_is_drawn_from_zero_to_the_limit() -> None:
    lows: list[float] = []

    def draw(low: float, high: float) -> float:
        lows.append(low)
        return high / 2

    assert list(islice(backoff(cap_s=8.0, base_s=1.0, uniform=draw), 4)) == [0.0, 0.5, 1.0, 2.0]
    assert set(lows) == {0.0}
