"""This system's own parts as devices: known to the judge without being registered, and heard from nobody but itself."""

from __future__ import annotations

from collections.abc import Iterable

from gridwarden.config import Config
from gridwarden.kinds import PLATFORM
from gridwarden.model import Device

OURSELVES = "gridwarden"
"""The gateway of our own parts, and the broker that their readings are counted under; no broker may have this name."""
CORE, WEB, HISTORY = (f"{OURSELVES}:{name}" for name in ("core", "web", "history"))


EMBEDDED = "embedded"
"""The name of the embedded broker."""


def broker_device(name: str) -> str:
    """The device that stands for the broker ``name``."""
    return f"{OURSELVES}:broker:{name}"


def own_devices(config: Config, brokers: Iterable[str] = ()) -> dict[str, Device]:
    """Our parts by id; none where they say nothing of themselves.

    They lie in no area: who may see the whole installation sees them.

    Args:
        config: the configuration, which names its brokers.
        brokers: names of further ones.
    """
    if not speaks(config):
        return {}
    named = [*([EMBEDDED] if config.embedded.enabled else []), *(broker.name for broker in config.broker), *brokers]
    ids = (CORE, WEB, HISTORY, *map(broker_device, dict.fromkeys(named)))
    said = {"interval_s": config.health.every_s}
    return {name: Device(name, PLATFORM, gateway=OURSELVES, attributes=said) for name in ids}


def speaks(config: Config) -> bool:
    """Whether our parts say how they are. Not on the clock of the input: they would carry another time."""
    return config.health.every_s > 0 and config.clock != "replay"
