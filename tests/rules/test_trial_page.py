"""The page of a back-test."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from rules.rule import Name, RuleSet
from rules.trial import Extent, Result, trial
from rules.trial_page import BARS, LISTED, TEXTS, as_page
from tests.rules.test_backtest import rule
from tests.rules.test_trial import DAY_MS, EXTENT, START_MS, episode, result


class Reader(HTMLParser):
    """Checks that what is opened is closed, and counts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]
        if tag not in {"meta", "input", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_needs_nothing_but_itself() -> None:
    page = as_page(result(episode(), against=[episode(5_000)]))
    read = Reader(page)
    assert read.links == []
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert not re.search(r"url\(|@import|https?:", page)


def test_everything_is_said_in_both_languages() -> None:
    half = Extent(START_MS, START_MS + DAY_MS, START_MS + 60_000, 5, {"lift": 3})
    many = [episode(n * 1_000) for n in range(LISTED + 7)]
    page = as_page(result(*many, against=[episode(3, 999)], extent=half))
    said = [pair for key, pair in TEXTS.items() if key != "not_tried"]
    assert [pair for pair in said if pair[0] not in page or pair[1].replace("'", "&#x27;") not in page] == []
    assert page.count('class="zh"') == page.count('class="en"')


def test_a_chart_has_a_bar_where_episodes_began() -> None:
    page = as_page(result(episode(0), episode(1_000), episode(DAY_MS - 1)))
    bars = re.findall(r'<rect class="now" x="([0-9.]+)" y="([0-9.]+)"', page)
    assert [float(x) for x, _ in bars] == [0.5, (BARS - 1) * 7.5 + 0.5]
    assert float(bars[0][1]) < float(bars[1][1])  # two are higher than one
    assert "2026-11-22 00:00: 2" in page


def test_a_rule_that_was_silent_has_no_chart() -> None:
    assert "<svg" not in as_page(result())


def test_names_cannot_become_markup() -> None:
    evil = replace(rule(when="floor > 1"), name=Name("<b>名", "<script>x</script>"))
    page = as_page(Result(EXTENT, trial(RuleSet((evil,)), [episode(scope="<i>L")], EXTENT)))
    assert "<script>" not in page
    assert "<b>" not in page
    Reader(page)
