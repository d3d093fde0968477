"""``gridwarden.toml`` and ``GRIDWARDEN_*`` environment, read once, strictly: an unknown key is an error.

The only reader of both. Environment names follow the keys: ``GRIDWARDEN_HTTP__PORT=9000``. No socket opens here.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gridwarden.errors import ConfigError, quoted

PREFIX = "GRIDWARDEN_"
NOT_KEYS = frozenset({"GRIDWARDEN_REAL_DATA", "GRIDWARDEN_FAILPOINT", "GRIDWARDEN_FAULT_BOOK", "GRIDWARDEN_CONFIG", "GRIDWARDEN_PASSWORD",
                      "GRIDWARDEN_TEST_INFLUX_URL", "GRIDWARDEN_TEST_INFLUX_TOKEN", "GRIDWARDEN_TEST_INFLUX_ORG"})  # fmt: skip
"""Environment names that begin like ours and are no configuration."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: a name too long for a file
        msg = f"no time zone {name!r}; an IANA name such as Asia/Shanghai is expected"
        raise ValueError(msg) from error
    return name


Port = Annotated[int, Field(ge=0, le=65535)]
"""0 takes a free port."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(_Section):
    """The installation."""

    name: str = Field("Gridwarden", max_length=80)
    time_zone: Annotated[str, AfterValidator(_zone)] = "Asia/Shanghai"


class Http(_Section):
    """Where web listens. Loopback unless told otherwise."""

    host: str = "127.0.0.1"
    port: Port = 8080
    origins: tuple[str, ...] = ()
    """Further origins a browser may come from, e.g. ``https://gridwarden.example``; our own address is always one."""
    secure_cookie: bool = False
    """True behind TLS: the session cookie then travels encrypted only."""


class Embedded(_Section):
    """The embedded broker (nats-server), a child process of ``gridwarden run``."""

    enabled: bool = True
    host: str = "127.0.0.1"
    mqtt_port: Port = 1883
    client_port: Port = 0
    monitor_port: Port = 0
    gateways: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], ...] = ()
    """Gateways that get a user of their own with a generated password; see also ``gridwarden gateway add``."""
    store_bytes: int = Field(12 * 2**30, ge=64 * 2**20)
    """Disk the broker may take; what waits for us is bounded at three quarters of it."""
    messages_per_topic: int = Field(1_000_000, ge=1000)
    max_payload_bytes: int = Field(2**20, ge=1024, le=8 * 2**20)
    sync_s: float = Field(1.0, ge=0, le=120)
    """How often what gateways were told is safe is forced to the disk: so much a power loss may cost. 0: always."""

    @field_validator("sync_s")
    @classmethod
    def _whole_ms(cls, sync_s: float) -> float:
        if 0 < sync_s < 0.01:  # noqa: PLR2004
            raise ValueError("at least 0.01, or 0 for always")
        return sync_s


class Tls(_Section):
    """TLS towards a broker."""

    ca_file: Path | None = None
    """CA to trust; without it the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None


_SECRET_BYTES = 4096
"""A larger file was meant for something else."""


def secret_of(path: Path) -> str:
    """The one line in ``path``, as container engines and service managers hand secrets over.

    Raises:
        ValueError: it cannot be read, is empty, has several lines or is too large.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_SECRET_BYTES + 1)
        secret = text.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    if len(text) > _SECRET_BYTES:
        raise ValueError(f"larger than {_SECRET_BYTES} bytes: hardly a secret")
    if not secret.strip() or not secret.isprintable():
        raise ValueError("one line of text is expected")
    return secret


class Broker(_Section):
    """One MQTT broker to take telemetry from."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    host: str
    port: Port = 1883
    version: Literal["3.1.1", "5"] = "3.1.1"
    client_id: str = Field("", max_length=64)
    """Prefix of our client ids; the session lives on under it. Empty: ``gridwarden-<name>``."""
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    """Holds the password, read at the start; instead of ``password``."""
    tls: Tls | None = None
    telemetry: tuple[str, ...] = ("gridwarden/v1/+/up",)
    alarm: tuple[str, ...] = ("gridwarden/v1/+/alarm",)
    errors: bool = False
    """Whether gateways are told over it, under their topic ``…/errors``, what was wrong with their payloads."""
    receive_maximum: int = Field(10_000, ge=10, le=65_535)
    """Messages that may be unacknowledged in one session."""
    hold_after_connect_s: float = Field(0.0, ge=0, le=60)
    """How long the telemetry session waits after each connect before it orders and takes what came: for
    brokers that redeliver newer messages first (nats-server: its ``ack_wait`` of 2 s, and 1 s more)."""

    @field_validator("password_file")
    @classmethod
    def _only_readable(cls, path: Path | None, others: ValidationInfo) -> Path | None:
        """Here and not below, so that the fault is told with this key as its place."""
        if path is not None:
            if others.data.get("password") is not None:
                raise ValueError("there is a password too; one of them must go")
            secret_of(path)
        return path

    @model_validator(mode="after")
    def _password_of_its_file(self) -> Broker:
        if self.password_file is not None:
            object.__setattr__(self, "password", SecretStr(secret_of(self.password_file)))
        return self


class Ingest(_Section):
    """Bounds on what comes in."""

    max_payload_bytes: int = Field(256 * 1024, ge=1024, le=8 * 2**20)
    batch_messages: int = Field(2_000, ge=1, le=20_000)
    """Most messages of one transaction."""
    tick_ms: int = Field(5, ge=0, le=1000)
    """How long a batch may gather after its first telemetry message; alarms do not wait."""
    max_ahead_s: int = Field(300, ge=0)
    """A device clock further ahead than this cannot be true."""
    max_leap_s: int = Field(30 * 86_400, ge=60)
    """With ``--clock replay``: the furthest the input may leap in one step."""
    past_after_s: int = Field(300, ge=0)
    """Alarms that came and went together, over for longer than this, are told to nobody; 0: all are told."""
    unbound_devices: Literal["accept", "quarantine"] = "accept"
    """What to do with readings of a registered device that is bound to no gateway."""


class Spool(_Section):
    """Blocks that a follower has not yet taken."""

    quota_bytes: int = Field(20 * 2**30, ge=16 * 2**20)


class Health(_Section):
    """What the system says of itself, as readings of its own parts."""

    every_s: int = Field(10, ge=0, le=3600)
    """How often; 0: never."""


class Heartbeat(_Section):
    """Where we tell somebody outside that all is well, so that our silence tells them that it is not."""

    url: SecretStr = SecretStr("")
    """``https://…`` or ``http://…``; often it holds a secret. Empty: there is no heartbeat."""
    url_file: Path | None = Field(None)
    """Holds the address, read at the start; instead of ``url``."""
    method: Literal["GET", "POST"] = "GET"
    every_s: float = Field(60.0, gt=0, le=86_400)
    timeout_s: float = Field(10.0, gt=0, le=600)

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: SecretStr) -> SecretStr:
        return SecretStr(_checked_url(url.get_secret_value()))

    @field_validator("url_file")
    @classmethod
    def _only_one(cls, path: Path | None, others: ValidationInfo) -> Path | None:
        if path is not None:
            if "url" in others.data and others.data["url"].get_secret_value():
                raise ValueError("there is a url too; one of them must go")
            _checked_url(secret_of(path))
        return path

    @model_validator(mode="after")
    def _url_of_its_file(self) -> Heartbeat:
        if self.url_file is not None:
            object.__setattr__(self, "url", SecretStr(secret_of(self.url_file)))
        return self


def _checked_url(url: str) -> str:
    """``url`` if it is one that can be asked; it is never repeated in what is raised."""
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"[\s\x00-\x1f]", url)):
        raise ValueError("an address beginning with https:// or http:// is expected")
    return url


class Aside(_Section):
    """What could not become a reading of its device: dead letters, and the list of the quarantine."""

    quota_bytes: int = Field(256 * 2**20, ge=2**20)
    """Room for dead letters."""
    days: int = Field(90, ge=1)
    """Dead letters that did not come again for so long may go, and entries of the quarantine's list."""
    quarantine_rows: int = Field(100_000, ge=100)


class Records(_Section):
    """What core keeps of what has happened."""

    journal_days: int = Field(1_100, ge=1)
    """Entries of the journal, alarms and grid events that have been over for so long may go."""


class History(_Section):
    """The history database."""

    kind: Literal["duckdb", "influxdb"] = "duckdb"
    """DuckDB lies in the data directory; InfluxDB 2.x is a server that somebody runs."""
    retention_days: int = Field(400, ge=1)
    seal_after_h: float = Field(26.0, gt=0)
    """Age at which a day's rows are sealed into Parquet."""
    memory_mb: int = Field(512, ge=64)
    threads: int = Field(1, ge=1, le=64)
    url: Annotated[str, Field(pattern=r"^(https?://[^\s@]+)?$")] = ""
    """InfluxDB's address; this and what follows are for ``kind = "influxdb"`` only."""
    org: str = ""
    bucket: str = Field("", pattern=r'^[^"\\$\x00-\x1f]*$')
    """Made where it is missing and the token may."""
    token_file: Path | None = None
    """Holds the token, read at the start; instead of ``token``."""
    token: SecretStr = Field(SecretStr(""), validate_default=True)
    """With the right to read and write the bucket."""
    timeout_s: float = Field(10.0, gt=0, le=600)
    """For one request that somebody waits for."""

    @field_validator("token_file")
    @classmethod
    def _only_readable(cls, path: Path | None) -> Path | None:
        if path is not None:
            secret_of(path)
        return path

    @field_validator("token")
    @classmethod
    def _complete(cls, token: SecretStr, others: ValidationInfo) -> SecretStr:
        """Here and not for the whole section, so that a fault is never told with the section and the token in it."""
        if (file := others.data.get("token_file")) is not None:
            if token.get_secret_value():
                raise ValueError("there is a token_file too; one of them must go")
            token = SecretStr(secret_of(file))
        needed = {name: others.data.get(name) for name in ("url", "org", "bucket")}
        missing = sorted(name for name, value in needed.items() if not value)
        if others.data.get("kind") == "influxdb" and (missing or not token.get_secret_value()):
            raise ValueError(
                f"influxdb needs url, org, bucket and token (or token_file); missing: {', '.join(missing) or 'token'}"
            )
        return token


class Config(_Section):
    """Everything that can be set."""

    data: Path = Path("data")
    rules: tuple[Path, ...] = ()
    """Rule packs (files or folders) besides the shipped ones."""
    shipped_packs: bool = True
    clock: Literal["system", "replay"] = "system"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on ``gridwarden run`` and its parts log."""
    site: Site = Site()
    http: Http = Http()
    embedded: Embedded = Embedded()
    broker: tuple[Broker, ...] = ()
    ingest: Ingest = Ingest()
    spool: Spool = Spool()
    aside: Aside = Aside()
    records: Records = Records()
    history: History = History()
    health: Health = Health()
    heartbeat: Heartbeat = Heartbeat()

    @model_validator(mode="after")
    def _some_broker(self) -> Config:
        if not self.embedded.enabled and not self.broker:
            msg = "no broker: enable [embedded] or name at least one [[broker]]"
            raise ValueError(msg)
        names = [broker.name for broker in self.broker]
        if len(set(names)) != len(names) or {"embedded", "gridwarden"} & set(names):
            msg = "[[broker]] names must differ from each other and from 'embedded' and 'gridwarden'"
            raise ValueError(msg)
        return self


def load(path: Path | None, environ: Mapping[str, str] = os.environ, **overrides: Any) -> Config:
    """The configuration of ``path`` (none: defaults), the environment over it, ``overrides`` over both.

    Raises:
        ConfigError: file missing or not TOML, key unknown, value out of bounds; with place and reason.
    """
    settings = _read(path) if path else {}
    for name, text in environ.items():
        if name.startswith(PREFIX) and name not in NOT_KEYS:
            _put(settings, name.removeprefix(PREFIX).lower().split("__"), _environment_value(name, text))
    for dotted, value in overrides.items():
        if value is not None:
            _put(settings, dotted.split("__"), value)
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        given = "" if {"password", "token", "heartbeat"} & set(first["loc"]) else f" (got {quoted(first['input'])})"
        reason = "unknown key" if first["type"] == "extra_forbidden" else f"{first['msg']}{given}"
        raise ConfigError(reason, path=path or "environment", place=place) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("no such file", path=path) from error
    except OSError as error:
        raise ConfigError(error.strerror or str(error), path=path) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, digits by the thousand, nested too deep
        raise ConfigError(f"not TOML: {error}", path=path) from error


def _environment_value(name: str, text: str) -> Any:
    """Text, or what it says in JSON where it is a list or a table: ``GRIDWARDEN_RULES='["a.yaml", "b.yaml"]'``."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error}", path="environment", place=name) from error


_DEEPEST = 8
"""Most sections one in another; far fewer are known."""


def _put(settings: dict[str, Any], keys: list[str], value: Any) -> None:
    if len(keys) > _DEEPEST:
        raise ConfigError("unknown key", path="environment", place=".".join(keys))
    for key in keys[:-1]:
        settings = settings.setdefault(key, {})
        if not isinstance(settings, dict):
            raise ConfigError("is a value, not a section", path="environment", place=".".join(keys))
    settings[keys[-1]] = value
