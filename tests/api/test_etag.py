"""Validators tell versions, people, installations and releases apart; what a client may say of them."""

from __future__ import annotations

import pytest
from fastapi import Request

from api import etag


def asking(known: str | None) -> Request:
    headers = [] if known is None else [(b"if-none-match", known.encode())]
    return Request({"type": "http", "headers": headers})


def test_what_differs_has_another_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = [etag.registry_etag(*what) for what in
             ((1, "a", [""]), (2, "a", [""]), (1, "b", [""]), (1, "a", ["3301"]), (1, "a", []))]  # fmt: skip
    monkeypatch.setattr(etag, "__version__", "0.0.0")
    marks.append(etag.registry_etag(1, "a", [""]))
    assert len(set(marks)) == len(marks)
    assert marks[0].startswith('"1-')


@pytest.mark.parametrize(
    ("known", "want"),
    [(None, False), ("", False), ('"b"', False), ('"a', False), ("a", False), ('"a"', True), ('W/"a"', True), ("*", True),
     ('"b", "a"', True), ('"b","c"', False)],
)  # fmt: skip
def test_what_the_client_has(known: str | None, want: bool) -> None:
    assert etag.is_known(asking(known), '"a"') is want


def test_nothing_has_changed() -> None:
    answer = etag.not_modified('"a"')
    assert (answer.status_code, answer.body, answer.headers["etag"]) == (304, b"", '"a"')
    assert answer.headers["cache-control"] == "private, no-cache"
