"""Asking the child whether it answers: its monitor over HTTP, its MQTT listener by a CONNECT."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

RUNNING_FILE = "running.json"
"""In the data directory while an instance runs: the ports of its embedded broker."""
_CONNECT = 0x10
_CONNACK = 0x20
_USER_PASSWORD_CLEAN = 0xC2
_CLIENT_ID = "gridwarden-probe"


async def monitor(port: int, path: str) -> dict[str, Any] | None:
    """The JSON behind ``path`` (``/healthz``, ``/varz``, ``/jsz``) of the monitor; ``None`` while it is not well."""
    well, answer = await _get(port, path)
    return answer if well else None


async def illness(port: int) -> str:
    """What the server itself says is wrong with it; empty while it is well, or does not answer at all.

    A store that has met a write error says so here, and takes nothing more until the server is started again.
    """
    well, answer = await _get(port, "/healthz")
    return "" if well or answer is None else str(answer.get("error", "unavailable"))


async def illness_of(data: Path) -> str:
    """The same of the embedded broker of the instance on ``data``; empty also where there is none."""
    try:
        port = int(json.loads((data / RUNNING_FILE).read_bytes())["monitor_port"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return await illness(port)


async def _get(port: int, path: str) -> tuple[bool, dict[str, Any] | None]:
    """Whether the answer was 200, and its JSON object."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        answer = json.loads(body)
    except (OSError, ValueError):
        return False, None
    return b" 200 " in head.partition(b"\r\n")[0], answer if isinstance(answer, dict) else None


async def mqtt_connect(host: str, port: int, user: str, password: str) -> int | None:
    """The return code of a CONNACK (0: accepted) to one short, clean session; ``None`` while nothing answers.

    The first one ever is what makes the server create its message stream.
    """
    header = b"\x00\x04MQTT\x04" + bytes((_USER_PASSWORD_CLEAN,)) + b"\x00\x0a"
    body = header + b"".join(map(_text, (_CLIENT_ID, user, password)))
    try:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(bytes((_CONNECT, len(body))) + body)
            kind, _, _, code = await reader.readexactly(4)
            writer.write(b"\xe0\x00")
            await writer.drain()
        finally:
            writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return None
    return code if kind == _CONNACK else None


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded
