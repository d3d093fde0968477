"""What the documents say is true: keys and defaults, commands, fields, codes, links, figures, examples."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiomqtt
import pytest
import typer
from pydantic import BaseModel

from api.metrics import METRICS
from gridwarden.broker import EmbeddedBroker, credentials
from gridwarden.cli.main import cli
from gridwarden.clock import SystemClock
from gridwarden.config import NOT_KEYS, PREFIX, Broker, Config, Tls, load
from gridwarden.core.notices import Faults
from gridwarden.errors import ConfigError
from gridwarden.kinds import COMMON, KINDS, PLATFORM, SENSORS, Field
from gridwarden.model import Device, Quality
from ingest import intake
from ingest.decode import decode_native
from ingest.session import Lane, Message
from ingest.values import check
from rules.load import load as load_rules

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "docs" / "guide"
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WITHOUT_DEFAULT = {"broker", "heartbeat.url_file", "history.token_file"}
"""Keys that stand in the guide as comments: a table of its own, and a file that must be there."""
COMMAND = re.compile(r"(?:\.venv/bin/|`)gridwarden ([a-z]+(?: [a-z]+)?)")


def text_of(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# --- configuration ----------------------------------------------------------------------------------------------


def keys(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key by its dotted name, and its default."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_every_key_and_its_default_stand_in_the_guide() -> None:
    written = tomllib.loads(blocks(text_of("docs", "guide", "configuration.md"), "toml")[0])
    documented = dict(keys(Config.model_validate(written)))
    assert documented == dict(keys(Config()))
    assert sorted(dotted(written)) == sorted(documented.keys() - WITHOUT_DEFAULT)
    for name in WITHOUT_DEFAULT - {"broker"}:
        assert re.search(
            rf"^# {name.rpartition('.')[2]} = ", text_of("docs", "guide", "configuration.md"), re.MULTILINE
        )


def dotted(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_key_of_a_broker_stands_in_the_guide() -> None:
    text = text_of("docs", "guide", "configuration.md")
    names = [*Broker.model_fields, *Tls.model_fields]
    assert [
        name for name in names if not re.search(rf"^(?:# )?{name} = |^\[broker\.{name}\]", text, re.MULTILINE)
    ] == []


def test_every_snippet_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "gridwarden.toml"
    found = 0
    for document in DOCUMENTS:
        for snippet in blocks(document.read_text("utf-8"), "toml"):
            path.write_text(snippet, "utf-8")
            load(path, {})
            found += 1
    assert found >= 2


def test_every_name_of_the_environment_is_one() -> None:
    for document in DOCUMENTS:
        for name, value in re.findall(rf"\b({PREFIX}[A-Z0-9_]+)(?:=([^\s`'\"]+))?", document.read_text("utf-8")):
            if name in NOT_KEYS or name == PREFIX:
                continue
            assert known_key(name, value or "[]"), (document.name, name)


def known_key(name: str, value: str) -> bool:
    """The value may be left out in a document; the key must be one."""
    try:
        load(None, {name: value})
    except ConfigError as error:
        return "unknown key" not in error.reason
    return True


# --- commands ---------------------------------------------------------------------------------------------------


def commands() -> set[str]:
    """``run``, ``user add`` and so on."""
    found = set()
    for name, command in typer.main.get_command(cli).commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        found |= {f"{name} {leaf}" for leaf in below} if below else {name}
    return found


def test_every_command_is_written_about_and_every_one_written_about_exists() -> None:
    known = commands()
    groups = {name.split()[0] for name in known if " " in name}
    text = "\n".join(document.read_text("utf-8") for document in DOCUMENTS)
    said = {words if words.split()[0] in groups else words.split()[0] for words in COMMAND.findall(text)}
    assert sorted(name for name in said if name not in known | groups) == []
    assert sorted(known - said) == []


def test_the_readmes_say_the_same() -> None:
    one, other = (re.sub(r"^```.*?^```$", "", text_of(name), flags=re.MULTILINE | re.DOTALL) for name in READMES)
    one, other = (re.sub(r"(docs/images/\w+)\.(en|zh-CN)\.", r"\1.", text) for text in (one, other))
    for pattern in (r"^ {4}(.*?)(?:\s+#.*)?$", r"\d[\d,.]*(?: %)?(?= \|)", r"\]\((?!README)([^)]+)\)", r"`([^`\n]*)`"):
        assert re.findall(pattern, one, re.MULTILINE) == re.findall(pattern, other, re.MULTILINE), pattern
    assert max(len(text.splitlines()) for text in (one, other)) <= 100


@pytest.mark.parametrize("name", READMES)
def test_the_payload_of_the_readme_is_a_reading(name: str) -> None:
    (payload,) = re.findall(r'^ {4}(\{"device".*\})$', text_of(name), re.MULTILINE)
    assert_a_good_reading(payload)


def assert_a_good_reading(payload: str) -> None:
    decoded = decode_native(payload.encode(), 10_000)
    (reading,) = decoded.readings
    assert reading.at_ms
    assert reading.seq
    assert check("lift", reading.values) == (reading.values, {})


# --- links and words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name) if name else document
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_names_of_the_code_in_the_glossary_exist() -> None:
    rows = re.findall(r"^\| (.+?) \|", text_of("docs", "glossary.md"), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "gridwarden" / "model.py", ROOT / "rules" / "load.py",
                                                           ROOT / "rules" / "rule.py", ROOT / "api" / "wire.py"))  # fmt: skip
    assert names
    assert [name for name in names if not re.search(rf"\b{name}(?:_ms)?\b", code)] == []


# --- rules ------------------------------------------------------------------------------------------------------


def test_the_example_of_a_rule_loads(tmp_path: Path) -> None:
    example, _test = blocks(text_of("docs", "guide", "rules.md"), "yaml")
    path = tmp_path / "example.yaml"
    path.write_text(example, "utf-8")
    assert len(load_rules((path,), shipped_packs=False)) == 1


# --- gateways ---------------------------------------------------------------------------------------------------


def gateways() -> str:
    return text_of("docs", "guide", "gateways.md")


def first_column(text: str, title: str) -> set[str]:
    """The code names in the first column of the table whose head begins with ``title``."""
    table = re.search(rf"^\| {title} \|.*?(?=^[^|]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert table
    return set(re.findall(r"^\| `(\w+)`", table[0], re.MULTILINE))


def test_every_dead_letter_code_is_explained() -> None:
    source = text_of("ingest", "decode.py")
    used = set(re.findall(r'(?:DecodeError|Rejected)\(\s*"(\w+)"', source))
    used |= {
        name
        for line in re.findall(r"^\s+code = (.*)$", source, re.MULTILINE)
        for name in re.findall(r'"([a-z_]+)"', line)
    }
    used -= {"recursion"}
    assert first_column(gateways(), "code") == used


def test_every_quality_is_explained() -> None:
    assert first_column(gateways(), "quality") == {str(quality) for quality in Quality}


def field_tables() -> str:
    """What the guide must hold: written anew by pasting what this test shows when it fails."""
    common = {field.name for field in COMMON}
    tables = [("Every kind", list(COMMON))]
    tables += [
        (f"`{kind.name}`", [f for f in kind.fields.values() if f.name not in common]) for kind in SENSORS.values()
    ]
    return "\n".join(
        f"**{title}**\n\n| field | type | bounds or choices | unit |\n|---|---|---|---|\n"
        + "".join(f"| `{f.name}` | {f.type} | {bounds(f)} | {f.unit} |\n" for f in fields)
        for title, fields in tables
    )


def test_every_field_of_the_platform_stands_in_the_guide() -> None:
    guide = text_of("docs", "guide", "monitoring.md")
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:5]] for line in guide.splitlines() if line.startswith("| `")
    ]
    fields = KINDS[PLATFORM].fields.values()
    wanted = sorted([f.name, str(f.type), bounds(f), f.unit] for f in fields)
    assert sorted(row for row in rows if row[1] in {"bool", "int", "float"}) == wanted


def test_every_metric_stands_in_the_guide() -> None:
    guide = text_of("docs", "guide", "monitoring.md")
    rows = re.findall(r"^\| `(gridwarden_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", guide, re.MULTILINE)
    wanted = [
        (name, one.kind, " ".join(f"`{label}`" for label in one.labels), one.meaning) for name, one in METRICS.items()
    ]
    assert [(name, kind, labels.strip(), meaning) for name, kind, labels, meaning in rows] == wanted


def test_every_event_of_the_log_stands_in_the_guide() -> None:
    """To mend it: a line in the table at the end of docs/guide/monitoring.md."""
    guide = text_of("docs", "guide", "monitoring.md")
    rows = re.findall(r"^\| `([^`]+)`.* \| (debug|info|warning|error|critical) \|", guide, re.MULTILINE)
    used = {(event, level) for folder in ("gridwarden", "ingest", "rules", "api")
            for path in sorted((ROOT / folder).rglob("*.py")) for event, level in logged(path)}  # fmt: skip
    decided = {("decisions", "info"), ("alarm.fired", "info"), ("event.closed", "info"), ("quieting.added", "info"),
               ("registry.changed", "info")}  # fmt: skip
    assert sorted(used - set(rows)) == []
    assert sorted(set(rows) - used - decided) == []


def logged(path: Path) -> Iterator[tuple[str, str]]:
    """Events and levels of the log lines in a source file; an event may be one of two."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id in {"log", "_log"}:
            level = {"exception": "error"}.get(node.func.attr, node.func.attr)
            if level not in {"debug", "info", "warning", "error", "critical"}:
                continue  # a path named log
            texts = [one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
            yield from ((text, level) for text in texts if isinstance(text, str))


def bounds(field: Field) -> str:
    if field.choices:
        return " ".join(f"`{choice}`" for choice in field.choices)
    if field.type == "text":
        return f"{field.high} characters"
    return "" if field.low is None else f"{number(field.low)} … {number(field.high)}"


def number(value: float | None) -> str:
    return {2**53: "2⁵³", 1e6: "1000000"}.get(value, f"{value:g}") if value is not None else ""


def test_every_field_of_every_kind_stands_in_the_guide() -> None:
    assert gateways().partition("## Fields\n")[2].strip() == field_tables().strip()


def test_the_bodies_of_the_guide_are_readings() -> None:
    for payload in blocks(gateways().partition("\n## Connections")[0], "json"):
        assert_a_good_reading(payload)


def test_what_a_gateway_is_told_of_its_payloads_is_what_the_guide_says() -> None:
    section = gateways().partition("\n## What became of a message")[2].partition("\n## ")[0]
    (example,), (answer,) = blocks(section, "python"), blocks(section, "json")
    payloads = re.findall(r"'([{[].*[}\]])', qos=1", example)
    assert len(payloads) == 2
    clock, smoke = SystemClock(), {"SMK-1": Device("SMK-1", "smoke")}
    told = Faults("b", "gw", Lane.TELEMETRY, 0)
    for payload in payloads:
        message = Message("gridwarden/v1/gw/up", payload.encode(), clock.now_ms(), 1, 1, 1, SimpleNamespace())  # type: ignore[arg-type]
        told.note(message, intake.read(message, "b", smoke, clock, intake.Bounds(10_000, 0, None)))
    assert json.loads(answer) == told.body() | {"at": "2026-11-22T12:48:02.676Z"}


async def test_the_example_delivers(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks(gateways().partition("\n## An example")[2], "python")
    user, password = broker.credentials("gw1")
    for name, value in {"GATEWAY": user, "PASSWORD": password, "BROKER": broker.host, "PORT": broker.mqtt_port}.items():
        monkeypatch.setenv(name, str(value))
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - ours
    reading = {"device": "LIFT-1", "at": 1_795_327_200_000, "seq": 1, "values": {"floor": 3}}
    ingester, secret = broker.credentials(credentials.INGESTER)
    async with (
        aiomqtt.Client(
            broker.host, broker.mqtt_port, identifier="reader", username=ingester, password=secret
        ) as client,
        asyncio.timeout(20),
    ):
        await client.subscribe("gridwarden/v1/+/+", qos=1)
        lanes = {lane: asyncio.Queue[dict[str, Any]]() for lane in ("up", "alarm")}
        tasks = [asyncio.create_task(names["lane"](lane, waiting)) for lane, waiting in lanes.items()]
        for waiting in lanes.values():
            await waiting.put(reading)
        came = {}
        async for message in client.messages:
            came[str(message.topic)] = json.loads(bytes(message.payload))  # type: ignore[arg-type]
            if len(came) == len(lanes):
                break
        await end(tasks)
    assert came == {f"gridwarden/v1/gw1/{lane}": reading for lane in lanes}


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until it is heard: ``asyncio.wait_for`` before Python 3.12 loses a cancellation that comes with its result.

    The client waits so for its PUBACK, which arrives about when the reader has the message.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=0.05)
