"""``/metrics`` for Prometheus: what is counted, under which name, and of whom. Every name stands in ``METRICS`` and in the guide.

The labels are brokers, lanes, sessions, parts and a few fixed words: never a device or a gateway, so that their number
is bounded by the configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool

from api.auth import scraper
from api.platform import ledger_of
from api.services import Given, Services
from gridwarden import __version__
from gridwarden.errors import Unavailable
from gridwarden.kinds import KINDS, PLATFORM, FieldType
from gridwarden.model import Severity
from gridwarden.records.lines import By
from gridwarden.records.transaction import LEDGER_COLUMNS
from gridwarden.resident import processor_s, resident_mb
from gridwarden.supervised import read

router = APIRouter(tags=["health"])
_MB = 2**20
_FATES = tuple(name for name in LEDGER_COLUMNS if name != "redelivered")
Labels = tuple[str, ...]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Named:
    """One metric."""

    kind: str
    """``counter``, ``gauge`` or ``histogram``."""
    meaning: str
    labels: Labels = ()


METRICS: dict[str, Named] = {
    "gridwarden_info": Named("gauge", "1; the version is its label.", ("version",)),
    "gridwarden_core_up": Named("gauge", "1 while core answers web."),
    "gridwarden_link_up": Named("gauge", "1 while the link between web and core stands."),
    "gridwarden_records_failing": Named("gauge", "1 while records cannot commit: nothing is acknowledged."),
    "gridwarden_readings_total": Named("counter", "Readings by what became of them.", ("broker", "lane", "fate")),
    "gridwarden_redelivered_messages_total": Named("counter", "Messages that came again.", ("broker", "lane")),
    "gridwarden_readings_in_flight": Named("gauge", "Readings judged and not yet durable."),
    "gridwarden_waiting_messages": Named("gauge", "Messages received and not yet judged."),
    "gridwarden_ledger_imbalance": Named("gauge", "Readings that do not add up; 0 is right."),
    "gridwarden_session_connected": Named("gauge", "1 while this session has the broker's consent.", ("session",)),
    "gridwarden_batches_total": Named("counter", "Batches judged.", ("lane",)),
    "gridwarden_batch_seconds": Named("histogram", "Judging one batch."),
    "gridwarden_commit_seconds": Named("histogram", "One transaction to disk."),
    "gridwarden_alarm_delay_seconds": Named("histogram", "Messages of the alarm lane, from receipt to the end of their commit."),
    "gridwarden_evaluations_total": Named("counter", "Rules evaluated on a reading."),
    "gridwarden_alarms_total": Named("counter", "Alarms fired and resolved.", ("what", "severity")),
    "gridwarden_open_events": Named("gauge", "Grid events not yet closed.", ("severity",)),
    "gridwarden_dead_letters": Named("gauge", "Dead letters kept; the same bytes are one."),
    "gridwarden_dead_letter_bytes": Named("gauge", "What they take of their room."),
    "gridwarden_quarantined": Named("gauge", "Readings listed in quarantine."),
    "gridwarden_spool_bytes": Named("gauge", "Intake blocks on disk."),
    "gridwarden_spool_quota_bytes": Named("gauge", "What they may be."),
    "gridwarden_history_up": Named("gauge", "1 while the history answers and follows."),
    "gridwarden_history_behind_seconds": Named("gauge", "How far the history is behind in time."),
    "gridwarden_history_behind_transactions": Named("gauge", "Transactions it has not followed yet."),
    "gridwarden_history_missing_readings": Named("gauge", "Readings that records had and it has not."),
    "gridwarden_websocket_connections": Named("gauge", "Open websockets."),
    "gridwarden_websocket_frames_total": Named("counter", "Frames sent to websockets."),
    "gridwarden_slow_clients_total": Named("counter", "Websockets cut off, since their client did not read."),
    "gridwarden_hub_behind_seconds": Named("gauge", "How long nobody has been told what is in the journal."),
    "gridwarden_heartbeat_failing": Named("gauge", "1 while nobody hears the heartbeat outside; only where there is one."),
    "gridwarden_restarts_total": Named("counter", "How often a part had to be started again.", ("part",)),
    "gridwarden_resident_bytes": Named("gauge", "Resident memory.", ("part",)),
    "gridwarden_processor_seconds_total": Named("counter", "Processor time used.", ("part",)),
    "gridwarden_health": Named("gauge", "What the parts said of themselves last: the fields of kind platform.", ("part", "field")),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What the metrics are made of."""

    ledger: Mapping[str, Any]
    """The ledger with core's status, as :func:`api.platform.ledger_of` gives it."""
    lanes: Iterable[Mapping[str, Any]]
    """Its lines by broker and lane."""
    counts: Mapping[str, float]
    """Numbers by the name of a metric without labels."""
    open_events: Mapping[str, int]
    """By severity."""
    restarts: Mapping[str, int]
    """By part, as the supervisor counts them."""


class Exposition(Collector):
    """One scrape."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterable[Metric]:
        """Every metric of which something is known."""
        for name, samples in _samples(self._facts).items():
            if samples:
                yield _family(name, samples)
        for name, state in self._facts.ledger.get("measures", {}).items():
            if name in _HISTOGRAMS:
                yield _histogram(_HISTOGRAMS[name], state)


_HISTOGRAMS = {
    "batch": "gridwarden_batch_seconds", "commit": "gridwarden_commit_seconds",
    "alarm_delay": "gridwarden_alarm_delay_seconds",
}  # fmt: skip
"""Core's name of a histogram to ours."""


def _family(name: str, samples: Iterable[Sample]) -> Metric:
    named = METRICS[name]
    make = CounterMetricFamily if named.kind == "counter" else GaugeMetricFamily
    family = make(name, named.meaning, labels=named.labels)
    for labels, value in samples:
        family.add_metric(labels, float(value))
    return family


def _histogram(name: str, state: Mapping[str, Any]) -> Metric:
    bounds = [*map(str, state["bounds_s"]), "+Inf"]
    totals = accumulate(state["counts"])
    family = HistogramMetricFamily(name, METRICS[name].meaning)
    family.add_metric((), [(bound, float(total)) for bound, total in zip(bounds, totals, strict=True)], state["sum_s"])
    return family


def _samples(facts: Facts) -> dict[str, list[Sample]]:
    status = facts.ledger
    measures = status.get("measures", {})
    lanes = list(facts.lanes)
    return {
        **{name: [((), value)] for name, value in facts.counts.items()},
        "gridwarden_info": [((__version__,), 1)],
        "gridwarden_readings_total": [((lane["broker"], lane["lane"], fate), lane[fate]) for lane in lanes for fate in _FATES],
        "gridwarden_redelivered_messages_total": [((lane["broker"], lane["lane"]), lane["redelivered"]) for lane in lanes],
        "gridwarden_session_connected": [((one["name"],), one["connected"]) for one in status.get("sessions", ())],
        "gridwarden_batches_total": [((lane,), count) for lane, count in measures.get("batches", {}).items()],
        "gridwarden_alarms_total": [((one["what"], one["severity"]), one["count"]) for one in measures.get("alarms", ())],
        "gridwarden_open_events": [((severity,), count) for severity, count in facts.open_events.items()],
        "gridwarden_restarts_total": [((part,), count) for part, count in facts.restarts.items()],
        "gridwarden_resident_bytes": [(("web",), resident_mb() * _MB), *_of_core(status, "resident_mb", _MB)],
        "gridwarden_processor_seconds_total": [(("web",), processor_s()), *_of_core(status, "processor_s", 1)],
        "gridwarden_health": list(_health(status.get("health", {}))),
    }  # fmt: skip


def _of_core(status: Mapping[str, Any], name: str, unit: float) -> list[Sample]:
    return [(("core",), status[name] * unit)] if name in status else []


def _health(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[Sample]:
    fields = KINDS[PLATFORM].fields
    for part, values in parts.items():
        for name, value in values.items():
            if name in fields and fields[name].type is not FieldType.TEXT and value is not None:
                yield (part, name), value


def _counts(services: Services, ledger: Mapping[str, Any]) -> dict[str, float]:
    """The numbers without labels; what is not known is left out."""
    counts = services.counts
    lag, audit = ledger["history_lag"], services.auditor.found
    known: dict[str, float | None] = {
        "gridwarden_core_up": ledger["core"] == "up",
        "gridwarden_link_up": services.link.connected,
        "gridwarden_records_failing": ledger["records"] != "ok" if "records" in ledger else None,
        "gridwarden_readings_in_flight": ledger["in_flight"],
        "gridwarden_waiting_messages": ledger.get("waiting_messages"),
        "gridwarden_ledger_imbalance": ledger.get("ledger_imbalance"),
        "gridwarden_evaluations_total": ledger.get("evaluations"),
        "gridwarden_spool_bytes": ledger.get("spool", {}).get("bytes"),
        "gridwarden_spool_quota_bytes": ledger.get("spool", {}).get("quota_bytes"),
        "gridwarden_dead_letters": ledger.get("aside", {}).get("rows"),
        "gridwarden_dead_letter_bytes": ledger.get("aside", {}).get("bytes"),
        "gridwarden_quarantined": ledger.get("aside", {}).get("quarantine_rows"),
        "gridwarden_history_up": lag["lag_s"] is not None and not counts.history_ended,
        "gridwarden_history_behind_seconds": lag["lag_s"],
        "gridwarden_history_behind_transactions": lag["transactions"],
        "gridwarden_history_missing_readings": audit.missing if audit else None,
        "gridwarden_websocket_connections": len(services.connections),
        "gridwarden_websocket_frames_total": counts.frames_sent,
        "gridwarden_slow_clients_total": counts.clients_cut,
        "gridwarden_hub_behind_seconds": services.hub.behind_s,
        "gridwarden_heartbeat_failing": counts.heartbeat_failing,
    }  # fmt: skip
    return {name: value for name, value in known.items() if value is not None}


def _facts(services: Services, ledger: Mapping[str, Any]) -> Facts:
    """Everything that is known now; blocking."""
    said = read(services.config.data, services.clock.now_ms())
    restarts = said.restarts if said else {}
    counts = _counts(services, ledger)
    try:
        lanes = ledger.get("lanes") or services.reader.ledger_lines(By.LANE)
        open_events = dict.fromkeys(map(str, Severity), 0) | services.reader.counts([""])["open_events"]
    except Unavailable:
        return Facts(ledger, ledger.get("lanes", ()), counts, {}, restarts)
    return Facts(ledger, lanes, counts, open_events, restarts)


@router.get("/metrics", dependencies=[Depends(scraper)], response_class=PlainTextResponse)
async def metrics(services: Given) -> Response:
    """Prometheus metrics."""
    ledger = await ledger_of(services)
    registry = CollectorRegistry()
    registry.register(Exposition(await run_in_threadpool(_facts, services, ledger)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
