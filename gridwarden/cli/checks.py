"""``gridwarden check``: everything that can be seen without starting anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, installation, out, print_json, told
from gridwarden.config import Config
from gridwarden.errors import ConfigError
from gridwarden.kinds import SENSORS
from gridwarden.office.snapshot import read_registry


def check(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check configuration, rules and registry without starting anything; exit 2 with place and reason."""
    from rules.load import load as load_rules  # noqa: PLC0415 - as everywhere: who does not need it does not wait for it

    with told():
        here = installation(config, data)
        settings = here.config
        rules = load_rules(settings.rules, shipped_packs=settings.shipped_packs)
        _check_files(settings)
        _check_data(settings.data)
        facts = {
            "config": str(here.config_path or "defaults"), "data": str(settings.data), "rules": len(rules),
            "brokers": ["embedded"] * settings.embedded.enabled + [one.name for one in settings.broker],
            "devices": _check_registry(settings.data),
        }  # fmt: skip
        if as_json:
            print_json(facts)
        else:
            _show(facts)


def _show(facts: dict[str, Any]) -> None:
    for name in ("config", "data", "rules", "devices"):
        out.print(f"{name:<9}{facts[name]}", markup=False, soft_wrap=True)
    out.print(f"brokers  {', '.join(facts['brokers'])}", markup=False, soft_wrap=True)
    out.print("ok")


def _check_files(settings: Config) -> None:
    """Files that are opened only when a broker is connected to."""
    for broker in settings.broker:
        for key in ("ca_file", "cert_file", "key_file"):
            path = getattr(broker.tls, key, None)
            if path is not None and not os.access(path, os.R_OK):
                raise ConfigError(
                    "no such file, or it cannot be read", path=path, place=f"broker {broker.name}, tls.{key}"
                )


def _check_data(data: Path) -> None:
    """The data directory, or the nearest one above it that exists, must be a directory we may write."""
    place = data.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise ConfigError(f"{place} is no directory", place="data")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"{place} cannot be written", place="data")


def _check_registry(data: Path) -> int:
    """How many devices there are; each must be of a kind that we know."""
    devices = read_registry(data / "office.db").devices
    for device in devices.values():
        if device.kind not in SENSORS:
            known = ", ".join(sorted(SENSORS))
            raise ConfigError(f"kind {device.kind!r} is not known; known: {known}", place=f"device {device.device_id}")
    return len(devices)
