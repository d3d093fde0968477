"""A small registry, the shipped scenarios, and a start in the small hours."""

from __future__ import annotations

import pytest

from gridwarden.model import Device
from rules.load import load
from rules.rule import RuleSet
from simulators.world import registry

START_MS = 1_773_608_400_000
"""2026-03-16T05:00+08:00."""


@pytest.fixture(scope="session")
def devices() -> list[Device]:
    return registry.devices()


@pytest.fixture(scope="session")
def rules() -> RuleSet:
    return load((), shipped_packs=True)


@pytest.fixture(scope="session")
def start_ms() -> int:
    return START_MS
