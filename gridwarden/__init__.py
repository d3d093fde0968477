"""Gridwarden: telemetry of a city district in, grid events out. Words, contracts and wiring."""

__version__ = "0.1.0"
