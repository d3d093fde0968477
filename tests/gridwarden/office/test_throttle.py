import pytest

from gridwarden.office.throttle import FREE_ATTEMPTS, LONGEST_MS, LoginThrottle, TooManyAttempts


def fail(throttle: LoginThrottle, times: int, at_ms: int = 0) -> None:
    for _ in range(times):
        throttle.admit("wang", "10.0.0.1", at_ms)


def test_people_may_mistype() -> None:
    throttle = LoginThrottle()
    fail(throttle, FREE_ATTEMPTS)
    with pytest.raises(TooManyAttempts) as refused:
        throttle.admit("wang", "10.0.0.1", 0)
    assert (refused.value.code, refused.value.retry_after_s) == ("too_many_attempts", 1)


def test_waits_double_up_to_a_quarter_of_an_hour() -> None:
    throttle = LoginThrottle()
    fail(throttle, FREE_ATTEMPTS)
    now_ms, waits = 0, []
    for _ in range(12):
        with pytest.raises(TooManyAttempts) as refused:
            throttle.admit("wang", "10.0.0.1", now_ms)
        waits.append(refused.value.retry_after_s)
        now_ms += waits[-1] * 1000
        if waits[-1] < LONGEST_MS // 1000:
            throttle.admit("wang", "10.0.0.1", now_ms)
        else:
            break
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]


def test_success_and_time_forgive() -> None:
    throttle = LoginThrottle()
    fail(throttle, FREE_ATTEMPTS)
    throttle.succeeded("wang", "10.0.0.1")
    fail(throttle, FREE_ATTEMPTS)
    fail(throttle, FREE_ATTEMPTS, LONGEST_MS)


def test_another_name_and_another_address_are_not_held_back() -> None:
    throttle = LoginThrottle()
    fail(throttle, FREE_ATTEMPTS)
    throttle.admit("li", "10.0.0.1", 0)
    throttle.admit("wang", "10.0.0.2", 0)


def test_it_stays_small_and_forgets_the_oldest() -> None:
    throttle = LoginThrottle(entries=10)
    fail(throttle, FREE_ATTEMPTS)
    for number in range(9):
        throttle.admit(f"guess{number}", "10.0.0.1", 0)
    with pytest.raises(TooManyAttempts):
        throttle.admit("wang", "10.0.0.1", 0)  # which also makes it the youngest
    for number in range(50):
        throttle.admit(f"more{number}", "10.0.0.1", 0)
    assert len(throttle) == 10
