"""Answers that every browser gets and that seldom change: packed once with gzip, kept, and sent as they lie.

Only what holds no secret and nothing that comes from the request is packed, so that no length tells of either.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

KEPT = 16
"""Packed answers in memory; the outlines of a district of 5,000 buildings are about 0.3 MB."""
LEVEL = 6
"""Of gzip."""
_GZIP = 16 + zlib.MAX_WBITS
_PIECE_BYTES = 1 << 16
_REFUSED = re.compile(r"\s*q=0(\.0*)?\s*")


@dataclass(frozen=True, slots=True)
class Packed:
    """The body of an answer."""

    packed: bytes
    """With gzip."""
    length: int
    """Bytes once unpacked."""

    def plain(self) -> Iterator[bytes]:
        """The same unpacked, piece by piece."""
        unpack = zlib.decompressobj(_GZIP)
        rest = self.packed
        while rest or not unpack.eof:
            yield unpack.decompress(rest, _PIECE_BYTES)
            rest = unpack.unconsumed_tail


def pack(parts: Iterable[bytes]) -> Packed:
    """One body of many parts, of which only one is held at a time."""
    packer = zlib.compressobj(LEVEL, wbits=_GZIP)
    packed: list[bytes] = []
    length = 0
    for part in parts:
        length += len(part)
        packed.append(packer.compress(part))
    return Packed(b"".join([*packed, packer.flush()]), length)


def answer(request: Request, body: Packed, media_type: str, headers: Mapping[str, str]) -> Response:
    """The body, packed for who takes it."""
    if _takes_gzip(request):
        return Response(body.packed, media_type=media_type, headers={**headers, "Content-Encoding": "gzip"})
    return StreamingResponse(
        body.plain(), media_type=media_type, headers={**headers, "Content-Length": str(body.length)}
    )


def _takes_gzip(request: Request) -> bool:
    offered = (coding.partition(";") for coding in request.headers.get("accept-encoding", "").lower().split(","))
    return any(name.strip() == "gzip" and not _REFUSED.fullmatch(weight) for name, _, weight in offered)


class Shelf:
    """Packed answers by what they show, each as of its validator. Calls block: from threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[str, Packed]] = OrderedDict()
        self._making = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, shown: Hashable, mark: str, parts: Callable[[], Iterable[bytes]]) -> Packed:
        """What is kept of ``shown`` under the validator ``mark``; else made of ``parts``, once for all who wait."""
        with self._making:
            known, body = self._kept.pop(shown, ("", None))
            if body is None or known != mark:
                body = pack(parts())
            self._kept[shown] = mark, body
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return body
