"""What a websocket client may send, and how a connection ends."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from api.paging import NUMBER_MAX

FRAME_LIMIT = 64 * 1024
"""Bytes of one frame from a client."""
DEVICES_LIMIT = 1_000
"""Devices one subscription may name."""
Number = Annotated[int, Field(ge=-1, le=NUMBER_MAX)]


class Query(BaseModel):
    """What a subscription is about."""

    model_config = ConfigDict(extra="forbid")
    area: str = Field("", max_length=32)
    devices: list[Annotated[str, Field(max_length=128)]] | None = Field(None, max_length=DEVICES_LIMIT)


class Resume(BaseModel):
    """Where the client stopped."""

    model_config = ConfigDict(extra="forbid")
    epoch: str = Field("", max_length=64)
    seq: Number = -1
    version: Number = -1


class Frame(BaseModel):
    """One frame; what a later client adds is passed over."""

    model_config = ConfigDict(extra="ignore")
    t: str
    id: Number = 0
    ch: str = ""
    q: Query = Query()
    resume: Resume | None = None
    token: str = Field("", max_length=256)


class Close(Exception):
    """End the connection with a close code."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)


def parse(message: str | None) -> Frame:
    """The frame of a text message (``None``: it was a binary one).

    Raises:
        Close: 4400.
    """
    if message is None or len(message.encode()) > FRAME_LIMIT:
        raise Close(4400, "frame too large" if message else "text expected")
    try:
        return Frame.model_validate(from_json(message))
    except (ValidationError, ValueError) as error:
        raise Close(4400, "bad frame") from error
