"""The configuration as it is in force, for a backup: the file as it was written, the rules, and what became of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gridwarden.backup.manifest import Missing
from gridwarden.config import Broker, Config
from gridwarden.history.copying import copy_file, make_private

IN_FORCE = "in-force.json"
"""File, environment and command line together; secrets are hidden."""


def keep_configuration(config: Config, path: Path | None, folder: Path) -> list[Missing]:
    """Copy it into the new ``folder``; which secrets lie elsewhere and are not in it."""
    folder.mkdir(mode=0o700)
    if path is not None:
        copy_file(path, folder / "gridwarden.toml")
    _keep_rules(config, folder)
    in_force = folder / IN_FORCE
    in_force.write_text(json.dumps(config.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n", "utf-8")
    in_force.chmod(0o600)
    return [Missing(f"the secret of {place}", f"it lies in {file}; keep it where secrets are kept")
            for place, file in _secret_files(config)]  # fmt: skip


def _keep_rules(config: Config, folder: Path) -> None:
    """Each place of rules in a folder of its own number: two may have the same name."""
    for number, place in enumerate(config.rules):
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        for file in files:
            below = file.relative_to(place.parent)
            target = folder / "rules" / str(number) / below
            make_private(target.parent)
            copy_file(file, target)


def _secret_files(config: Config) -> Iterator[tuple[str, Path]]:
    for broker in config.broker:
        yield from _of_broker(broker)
    if config.history.token_file:
        yield "history.token_file", config.history.token_file


def _of_broker(broker: Broker) -> Iterator[tuple[str, Path]]:
    if broker.password_file:
        yield f"broker {broker.name}: password_file", broker.password_file
    if broker.tls and broker.tls.key_file:
        yield f"broker {broker.name}: tls.key_file", broker.tls.key_file
