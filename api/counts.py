"""What web counts while it works, for its own health and for the metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """From the start of web on."""

    frames_sent: int = 0
    """To websockets."""
    clients_cut: int = 0
    """Websockets that were ended because their client did not read in time."""
    heartbeat_failing: bool | None = None
    """Whether nobody hears the heartbeat outside; ``None``: there is none, or none was sent yet."""
    history_ended: bool = False
    """Whether the history has stopped following for good, for a reason nobody foresaw."""
