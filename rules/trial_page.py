"""A back-test as one HTML page that needs nothing else: no network, no script. In Chinese and English. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gridwarden.clock import rfc3339
from rules.episodes import Episode, RuleSum
from rules.rule import Head
from rules.trial import Extent, Result, Trial, rounded

BARS = 96
"""Bars of a chart: each stands for the same share of the interval."""
LISTED = 200
"""Episodes of a difference that are listed."""
_WIDTH, _HEIGHT = 720, 44
TEXTS = {
    "title": ("规则回溯测试", "Back-test of rules"),
    "from_to": ("时段 (UTC)", "Interval (UTC)"),
    "readings": ("读数", "Readings"),
    "device_days": ("设备·日", "Device-days"),
    "incomplete": ("历史数据不完整, 仅至", "The history is incomplete; it reaches to"),
    "rule": ("规则", "Rule"),
    "episodes": ("报警次数", "Episodes"),
    "devices": ("设备数", "Devices"),
    "total": ("总时长", "Total duration"),
    "median": ("时长中位数", "Median duration"),
    "delay": ("检出延迟中位数", "Median detection delay"),
    "rate": ("每千设备·日", "Per 1,000 device-days"),
    "open": ("期末未解除", "Open at the end"),
    "over_time": ("报警随时间的分布", "Episodes over time"),
    "now": ("本规则集", "These rules"),
    "before": ("对照规则集", "The other rules"),
    "difference": ("差异", "Difference"),
    "added": ("新增", "Added"),
    "gone": ("消失", "Gone"),
    "changed": ("时间有变", "Changed"),
    "same": ("相同", "The same"),
    "fired_at": ("报警时间 (UTC)", "Fired at (UTC)"),
    "device": ("设备", "Device"),
    "duration": ("时长", "Duration"),
    "more": ("其余未列出", "more are not listed"),
    "not_tried": ("未测试 (失联类规则)", "Not tried, since they look at silence"),
}
"""What the page says, Chinese and English."""
_STYLE = """
:root{color-scheme:light dark;--ink:#1d2733;--soft:#5b6875;--line:#d5dbe1;--now:#1f6fb2;--before:#b9791f;--page:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9aa7b4;--line:#3a4550;--now:#6db3ee;--before:#e0ad5c;--page:#14191f}}
body{font:15px/1.5 system-ui,"Noto Sans SC","PingFang SC","Microsoft YaHei",sans-serif;color:var(--ink);background:var(--page);
margin:2rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}small,figcaption,.soft{color:var(--soft)}code{font-size:.9em}
figure{margin:1rem 0}svg{width:100%;height:auto;display:block}.now{fill:var(--now)}.before{fill:none;stroke:var(--before)}
.base{stroke:var(--line)}.warning{border-left:.3rem solid #c0392b;padding:.3rem .8rem}
#zh:checked~main .en,#en:checked~main .zh{display:none}
"""


def as_page(result: Result) -> str:
    """The page."""
    extent = result.extent
    parts = [
        f"<h1>{_said('title')}</h1>", _extent(extent), _trial(result.trial, "now"), _charts(result),
        *([_trial(result.against, "before")] if result.against else []), _difference(result),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{TEXTS['title'][0]} · {TEXTS['title'][1]}</title><style>{_STYLE}</style></head><body>"
        '<input type="radio" name="language" id="zh" checked><label for="zh" lang="zh-CN">中文</label> '
        '<input type="radio" name="language" id="en"><label for="en" lang="en">English</label>'
        f"<main>{''.join(parts)}</main></body></html>\n"
    )


def _both(chinese: str, english: str) -> str:
    return f'<span class="zh" lang="zh-CN">{escape(chinese)}</span><span class="en" lang="en">{escape(english)}</span>'


def _said(key: str) -> str:
    return _both(*TEXTS[key])


def _time(at_ms: int) -> str:
    return rfc3339(at_ms)[:16].replace("T", " ")


def _extent(extent: Extent) -> str:
    told = (
        f"<p>{_said('from_to')}: {_time(extent.from_ms)} – {_time(extent.to_ms)} · {_said('readings')}:"
        f" {extent.readings:,} · {_said('device_days')}: {sum(extent.device_days.values()):,}</p>"
    )
    if extent.is_complete:
        return told
    until = _time(extent.complete_until_ms) if extent.complete_until_ms > 0 else "–"
    return f'{told}<p class="warning">{_said("incomplete")} {until}</p>'


def _trial(told: Trial, which: str) -> str:
    names = {rule.id: rule for rule in told.rules}
    keys = ("rule", "episodes", "devices", "total", "median", "delay", "rate", "open")
    head = "".join(f"<th>{_said(key)}</th>" for key in keys)
    body = "".join(_sum(one, names[one.rule_id]) for one in told.sums)
    others = ", ".join(_rule(rule) for rule in told.left_out)
    left_out = f"<p class=soft>{_said('not_tried')}: {others}</p>" if others else ""
    title = f"<h2>{_said(which)} <small><code>{escape(told.version)}</code></small></h2>"
    return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{left_out}"


def _rule(rule: Head) -> str:
    return f"{_both(rule.name.zh, rule.name.en)} <code>{escape(rule.id)}</code>"


def _sum(one: RuleSum, rule: Head) -> str:
    cells = (
        f"{one.episodes:,}", f"{one.devices:,}", rounded(one.total_ms), rounded(one.median_ms), rounded(one.delay_ms),
        f"{one.per_1000_device_days:g}", f"{one.open_at_end:,}",
    )  # fmt: skip
    return f"<tr><td>{_rule(rule)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _charts(result: Result) -> str:
    figures = []
    for rule in result.trial.rules:
        now = _counts(result.trial.episodes, rule.id, result.extent)
        before = _counts(result.against.episodes, rule.id, result.extent) if result.against else [0] * BARS
        if any(now) or any(before):
            figures.append(_chart(rule, now, before, result.extent))
    legend = f"<p class=soft>■ {_said('now')} · □ {_said('before')}</p>" if result.against else ""
    return f"<h2>{_said('over_time')}</h2>{legend}{''.join(figures)}" if figures else ""


def _counts(episodes: Iterable[Episode], rule_id: str, extent: Extent) -> list[int]:
    """How many began in each share of the interval."""
    counts = [0] * BARS
    for episode in episodes:
        if episode.rule_id == rule_id:
            place = (episode.fired_at_ms - extent.from_ms) * BARS // (extent.to_ms - extent.from_ms)
            counts[min(max(place, 0), BARS - 1)] += 1
    return counts


def _chart(rule: Head, now: Sequence[int], before: Sequence[int], extent: Extent) -> str:
    top = max(*now, *before)
    bars = [*_bars(now, top, "now", extent), *_bars(before, top, "before", extent)]
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(rule.id)}: {sum(now)}">'
        f'{"".join(bars)}<line class="base" x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"/></svg>'
        f"<figcaption>{_rule(rule)} · {_time(extent.from_ms)} – {_time(extent.to_ms)} · max {top}</figcaption></figure>"
    )


def _bars(counts: Sequence[int], top: int, which: str, extent: Extent) -> Iterable[str]:
    width = _WIDTH / BARS
    for place, count in enumerate(counts):
        if count:
            height = max(2.0, count / top * (_HEIGHT - 2))
            at = _time(extent.from_ms + place * (extent.to_ms - extent.from_ms) // BARS)
            yield (
                f'<rect class="{which}" x="{place * width + 0.5:.1f}" y="{_HEIGHT - height:.1f}" width="{width - 1:.1f}"'
                f' height="{height:.1f}"><title>{at}: {count}</title></rect>'
            )


def _difference(result: Result) -> str:
    found = result.difference()
    if found is None:
        return ""
    counted = (
        ("added", len(found.added)),
        ("gone", len(found.gone)),
        ("changed", len(found.changed)),
        ("same", found.same),
    )
    line = " · ".join(f"{_said(key)}: {number:,}" for key, number in counted)
    listed = (("added", found.added), ("gone", found.gone), ("changed", tuple(one for one, _ in found.changed)))
    lists = "".join(_listed(key, episodes, result.extent) for key, episodes in listed if episodes)
    return f"<h2>{_said('difference')}</h2><p>{line}</p>{lists}"


def _listed(key: str, episodes: Sequence[Episode], extent: Extent) -> str:
    rows = "".join(
        f"<tr><td>{_time(one.fired_at_ms)}</td><td><code>{escape(one.rule_id)}</code></td><td>{escape(one.scope)}</td>"
        f"<td>{rounded(one.ended_at_ms(extent.end_ms) - one.fired_at_ms)}</td></tr>"
        for one in episodes[:LISTED]
    )
    head = "".join(f"<th>{_said(name)}</th>" for name in ("fired_at", "rule", "device", "duration"))
    more = f"<p class=soft>+ {len(episodes) - LISTED:,} {_said('more')}</p>" if len(episodes) > LISTED else ""
    return f"<h3>{_said(key)}</h3><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"
