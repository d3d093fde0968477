"""Dead letters that come again: whatever comes, however often, with kills in between, each is kept once and counted right."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NOW_MS = 1_800_000_000_000
GOOD = b'{"device":"SMK-1","at":1799999999000,"seq":1,"values":{"state":"normal"}}'


def again(message: Any) -> Any:
    message.dup = True
    return message


def ledger(site: Any) -> dict[str, int]:
    reader = site.reader()
    try:
        found = reader.ledger()
        assert reader.aside.recount()["dead_lettered"] == found["dead_lettered"]
        return {name: count for name, count in found.items() if count}
    finally:
        reader.close()


def letters(site: Any) -> list[tuple[bytes, int, int]]:
    """Payload, count and when it came last."""
    reader = site.reader()
    try:
        return [(one["head"], one["count"], one["last_received_at_ms"]) for one in reader.aside.letters()]
    finally:
        reader.close()


def test_a_gateway_that_repeats_itself_fills_one_row(site: Any) -> None:
    for second in range(5):
        site.hear(b"rubbish", b"rubbish", at_ms=NOW_MS + second * 1000)
    assert letters(site) == [(b"rubbish", 10, NOW_MS + 4000)]
    assert ledger(site) == {"received": 10, "dead_lettered": 10}


def test_the_same_bytes_are_another_letter_elsewhere_or_for_another_fault(site: Any) -> None:
    site.hear(b"rubbish")
    site.hear(b"rubbish", topic="gridwarden/v1/gw1/alarm")
    site.hear(b"rubbish", gateway="gw2")
    site.hear(b'[{"values":{}}, {"values":{}}]')
    assert [(code, count) for code, count, _ in letters(site)] == [(b'{"values":{}}', 1)] * 2 + [(b"rubbish", 1)] * 3


def test_what_was_committed_and_not_acknowledged_is_a_duplicate_when_it_comes_again(site: Any) -> None:
    site.hear(b"rubbish", GOOD)
    site.restart()
    transaction = site.judge.batch([again(site.source.message(one)) for one in (b"rubbish", GOOD)])
    assert not transaction.dead_letters
    site.commit(transaction)
    assert letters(site) == [(b"rubbish", 1, NOW_MS)]
    assert ledger(site) == {"received": 4, "stored": 1, "dead_lettered": 1, "duplicate": 2}


def test_what_never_was_committed_is_kept_when_it_comes_again(site: Any) -> None:
    site.judged(b"rubbish")  # and killed before the commit
    site.restart()
    site.commit(site.judge.batch([again(site.source.message(b"rubbish"))]))
    assert ledger(site) == {"received": 1, "dead_lettered": 1}


def test_a_new_message_that_looks_the_same_counts_whatever_comes_again_beside_it(site: Any) -> None:
    site.hear(b"rubbish")
    messages = [site.source.message(b"rubbish"), again(site.source.message(b"rubbish"))]
    site.commit(site.judge.batch(messages))
    assert ledger(site) == {"received": 3, "dead_lettered": 2, "duplicate": 1}


PAYLOADS = (b"", b"x", b"{", b'[{"values":{}},7]', b'[{"device":"SMK-1","seq":9,"values":{}},7]', GOOD)
STEPS = st.lists(
    st.one_of(
        st.lists(st.sampled_from(PAYLOADS), min_size=1, max_size=5),  # a batch, committed and acknowledged
        st.tuples(st.lists(st.sampled_from(PAYLOADS), min_size=1, max_size=5), st.booleans()),  # killed: before, after
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers(0, 2**32))
def test_whatever_comes_again_after_whichever_kill_each_letter_is_one_row(
    make_site: Any, steps: Any, number: int
) -> None:
    site = make_site(f"site-{number}-{len(steps)}-{id(steps)}")
    sent: Counter[bytes] = Counter()
    for step in steps:
        bodies, committed = (step, None) if isinstance(step, list) else step
        sent.update(bodies)
        transaction = site.judged(*bodies)
        if committed is None:
            site.commit(transaction)
            continue
        if committed:
            site.commit(transaction)
        site.restart()
        for body in bodies:  # unacknowledged: each comes again, by itself
            site.commit(site.judge.batch([again(site.source.message(body))]))
    found = ledger(site)
    parts = ("stored", "duplicate", "dead_lettered", "quarantined")
    assert found.get("received", 0) == sum(found.get(part, 0) for part in parts)
    kept = Counter(payload for payload, _, _ in letters(site))
    assert all(times == 1 for payload, times in kept.items() if payload in PAYLOADS)
    assert {payload for payload in kept if payload in PAYLOADS} == {p for p in sent if p in PAYLOADS[:3]}
    site.close()


@pytest.mark.parametrize("keys", [0, 1, 499, 501, 1200])
def test_many_letters_are_asked_for_in_portions(site: Any, keys: int) -> None:
    site.hear(*(b"rubbish %d" % number for number in range(keys)))
    messages = [again(site.source.message(b"rubbish %d" % number)) for number in range(keys)]
    assert not site.judge.batch(messages).dead_letters
