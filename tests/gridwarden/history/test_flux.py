"""Texts of queries: times to the millisecond, names that cannot break out."""

from __future__ import annotations

from gridwarden.history import flux


def test_times_stay_within_what_influxdb_holds() -> None:
    assert flux.rfc3339(1_800_000_000_123) == "2027-01-15T08:00:00.123Z"
    assert (flux.rfc3339(-5), flux.rfc3339(2**62)) == ("1970-01-01T00:00:00.000Z", "2262-01-01T00:00:00.000Z")


def test_no_name_breaks_out_of_its_quotation_marks() -> None:
    text = flux.points("b", 'x" or true) ${now()} \\', ("leak",), 0, 1, 5)
    assert 'r.device == "x%22 or true) %24{now()} %5C"' in text
    assert text.count('"') == flux.points("b", "x", ("leak",), 0, 1, 5).count('"')


def test_only_numbers_are_summed_up() -> None:
    text = flux.sum_up("b", "b_1h", "min", 0, 3_600_000)
    assert 'r._field == "pressure_mpa"' in text
    assert 'r._field == "leak"' not in text
    assert "meta." not in text
