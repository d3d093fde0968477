"""The alert rules for Prometheus, evaluated for real: each fires when what it is about happens, and none when all is well.

Needs the Debian packages victoria-metrics (which brings vmalert); without them only their form is held to the metrics.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from api.metrics import METRICS

FILE = Path(__file__).parents[2] / "deploy" / "prometheus-alerts.yaml"
RULES = [rule for group in yaml.safe_load(FILE.read_text("utf-8"))["groups"] for rule in group["rules"]]
VMALERT, VICTORIA = shutil.which("vmalert"), shutil.which("victoria-metrics")
STEP_S = 15
SPAN_S = 3600
"""Of each case; it begins well, so that rates have something to begin with."""
QUIET_S = 2400
"""Between two cases, so that none sees what another one was."""
BEGIN_S = 1_700_000_000

Value = Callable[[float], float | None]
"""Of a series at a time of its case; ``None``: no sample."""
Case = dict[str, Value]


def steady(value: float) -> Value:
    return lambda _t: value


def growing(per_s: float) -> Value:
    return lambda t: t * per_s


def from_the_middle(value: float, before: float) -> Value:
    return lambda t: value if t > SPAN_S / 3 else before


def histogram(name: str, slow: bool = False) -> Case:
    """One a second, all of a millisecond or all of four seconds."""
    case: Case = {f'{name}_bucket{{le="{bound}"}}': growing(0 if slow and bound in {"0.001", "0.5", "1.0"} else 1)
                  for bound in ("0.001", "0.5", "1.0", "5.0", "+Inf")}  # fmt: skip
    return case | {f"{name}_count": growing(1), f"{name}_sum": growing(4 if slow else 0.001)}


WELL: Case = {
    'gridwarden_info{version="1"}': steady(1),
    "gridwarden_core_up": steady(1),
    "gridwarden_link_up": steady(1),
    "gridwarden_records_failing": steady(0),
    'gridwarden_session_connected{session="embedded/up"}': steady(1),
    'gridwarden_session_connected{session="embedded/alarm"}': steady(1),
    'gridwarden_readings_total{broker="embedded",lane="telemetry",fate="received"}': growing(50),
    'gridwarden_readings_total{broker="gridwarden",lane="telemetry",fate="received"}': growing(0.5),
    'gridwarden_readings_total{broker="embedded",lane="telemetry",fate="dead_lettered"}': steady(3),
    'gridwarden_readings_total{broker="embedded",lane="telemetry",fate="quarantined"}': steady(3),
    "gridwarden_ledger_imbalance": steady(0),
    "gridwarden_history_up": steady(1),
    "gridwarden_history_behind_seconds": steady(1),
    "gridwarden_history_missing_readings": steady(0),
    "gridwarden_spool_bytes": steady(1e9),
    "gridwarden_spool_quota_bytes": steady(2e10),
    "gridwarden_hub_behind_seconds": steady(0),
    "gridwarden_slow_clients_total": steady(2),
    'gridwarden_restarts_total{part="core"}': steady(1),
    'gridwarden_resident_bytes{part="core"}': steady(1e9),
    "gridwarden_heartbeat_failing": steady(0),
    'gridwarden_health{part="gridwarden:core",field="disk_free_share"}': steady(0.5),
    'gridwarden_health{part="gridwarden:core",field="telemetry_delay_s"}': steady(0.1),
    'gridwarden_health{part="gridwarden:web",field="backup_age_h"}': steady(20),
    'gridwarden_health{part="gridwarden:broker:embedded",field="store_fill"}': steady(0.1),
    **histogram("gridwarden_alarm_delay_seconds"),
    **histogram("gridwarden_commit_seconds"),
}


def turned(name: str, value: float) -> Case:
    """A gauge that takes this value after a third of the case."""
    return {name: from_the_middle(value, WELL[name](0) or 0)}


READINGS = 'gridwarden_readings_total{{broker="embedded",lane="telemetry",fate="{}"}}'
HEALTH = 'gridwarden_health{{part="gridwarden:{}",field="{}"}}'
CASES: dict[str, Case] = {
    "": {},
    "GridwardenGone": {name: lambda t, one=one: one(t) if t < SPAN_S / 3 else None for name, one in WELL.items()},  # type: ignore[misc]
    "GridwardenCoreDown": turned("gridwarden_core_up", 0),
    "GridwardenRecordsFailing": turned("gridwarden_records_failing", 1),
    "GridwardenSessionDown": turned('gridwarden_session_connected{session="embedded/up"}', 0),
    "GridwardenAlarmsSlow": histogram("gridwarden_alarm_delay_seconds", slow=True),
    "GridwardenCommitsSlow": histogram("gridwarden_commit_seconds", slow=True),
    "GridwardenTelemetryBehind": turned(HEALTH.format("core", "telemetry_delay_s"), 300),
    "GridwardenNothingReceived": {READINGS.format("received"): steady(7)},
    "GridwardenLedgerImbalance": turned("gridwarden_ledger_imbalance", 1),
    "GridwardenHistoryMissing": turned("gridwarden_history_missing_readings", 1),
    "GridwardenHistoryDown": turned("gridwarden_history_up", 0),
    "GridwardenHistoryBehind": turned("gridwarden_history_behind_seconds", 400),
    "GridwardenSpoolFilling": turned("gridwarden_spool_bytes", 1.2e10),
    "GridwardenSpoolFull": turned("gridwarden_spool_bytes", 1.9e10),
    "GridwardenDiskLow": turned(HEALTH.format("core", "disk_free_share"), 0.05),
    "GridwardenBrokerStoreFilling": turned(HEALTH.format("broker:embedded", "store_fill"), 0.8),
    "GridwardenDeadLetters": {READINGS.format("dead_lettered"): growing(1)},
    "GridwardenUnentitled": {READINGS.format("quarantined"): growing(1)},
    "GridwardenPagesNotTold": turned("gridwarden_hub_behind_seconds", 60),
    "GridwardenSlowClients": {"gridwarden_slow_clients_total": growing(1 / 60)},
    "GridwardenRestarting": {'gridwarden_restarts_total{part="core"}': growing(1 / 300)},
    "GridwardenMemory": turned('gridwarden_resident_bytes{part="core"}', 7e9),
    "GridwardenHeartbeatFailing": turned("gridwarden_heartbeat_failing", 1),
    "GridwardenBackupOld": turned(HEALTH.format("web", "backup_age_h"), 50),
}  # fmt: skip
BESIDES = {"GridwardenSpoolFull": {"GridwardenSpoolFilling"}}
"""What is true as well in a case."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_says_what_it_means_in_both_languages_and_names_only_what_is_exposed(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "summary_zh", "description", "description_zh"}
    for name in ("summary_zh", "description_zh"):
        assert re.search(r"[\u4e00-\u9fff]", rule["annotations"][name])
    for name in re.findall(r"gridwarden_\w+", rule["expr"]):
        known = METRICS.get(name) or METRICS[re.sub(r"_(bucket|count|sum)$", "", name)]
        asked = set(re.findall(r"(\w+)!?=~?\"", rule["expr"]))
        assert asked <= set(known.labels)


def test_there_is_a_case_for_each() -> None:
    assert set(CASES) - {""} == {rule["alert"] for rule in RULES}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def victoria(folder: Path) -> Iterator[str]:
    """A VictoriaMetrics of our own that takes samples of any time."""
    assert VICTORIA
    port = free_port()
    command = [VICTORIA, f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={folder}", "-retentionPeriod=100y",
               "-search.latencyOffset=0s", "-memory.allowedBytes=256MB"]  # fmt: skip
    with (folder.parent / "victoria.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            try:
                httpx.get(f"{url}/health", timeout=5, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def lines(case: Case, begin_s: int) -> Iterator[str]:
    for name, value_at in (WELL | case).items():
        for t in range(0, SPAN_S, STEP_S):
            value = value_at(t)
            if value is not None:
                yield f"{name} {value} {(begin_s + t) * 1000}"


def send(url: str, text: str) -> None:
    sent = httpx.post(f"{url}/api/v1/import/prometheus", content=text.encode(), timeout=60, trust_env=False)
    assert sent.is_success, sent.text


def asked(url: str, **parameters: Any) -> Any:
    answer = httpx.get(url, params=parameters, timeout=60, trust_env=False)
    assert answer.is_success, answer.text
    return answer.json()


def fired(url: str, begin_s: int) -> set[str]:
    """Alerts that fired at some time of a case."""
    found = asked(f"{url}/api/v1/query_range", query='ALERTS{alertstate="firing"}', start=begin_s,
                  end=begin_s + SPAN_S - STEP_S, step=STEP_S)  # fmt: skip
    return {series["metric"]["alertname"] for series in found["data"]["result"]}


@pytest.mark.skipif(not (VMALERT and VICTORIA), reason="needs the Debian package victoria-metrics")
def test_each_alert_fires_in_its_case_and_in_no_other(tmp_path: Path) -> None:
    with victoria(tmp_path / "store") as url:
        begins_s = {name: BEGIN_S + number * (SPAN_S + QUIET_S) for number, name in enumerate(CASES)}
        for name, begin_s in begins_s.items():
            send(url, "\n".join(lines(CASES[name], begin_s)) + "\n")
        httpx.get(f"{url}/internal/force_flush", timeout=60, trust_env=False)
        for begin_s in begins_s.values():
            replay(url, begin_s)
        httpx.get(f"{url}/internal/force_flush", timeout=60, trust_env=False)
        told = {name: fired(url, begin_s) for name, begin_s in begins_s.items()}
    assert told == {name: {name} - {""} | BESIDES.get(name, set()) for name in CASES}


def replay(url: str, begin_s: int) -> None:
    """Have vmalert evaluate the rules over the time of a case, as it would have then."""
    assert VMALERT
    span = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s)) for at_s in (begin_s, begin_s + SPAN_S - STEP_S)]
    command = [VMALERT, f"-rule={FILE}", f"-datasource.url={url}", f"-remoteWrite.url={url}",
               f"-replay.timeFrom={span[0]}", f"-replay.timeTo={span[1]}", "-evaluationInterval=15s", "-datasource.queryStep=15s",
               "-replay.disableProgressBar", "-replay.rulesDelay=0s", f"-httpListenAddr=127.0.0.1:{free_port()}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
