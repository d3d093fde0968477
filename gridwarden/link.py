"""The one local link between core and web: a Unix socket that only this user may open, one JSON object a line.

Web asks ``{"id", "command", "params"}`` and gets ``{"id", "ok": true, "answer"}`` after the commit, or
``{"id", "ok": false, "code", "detail"}``; a command with an id that was carried out before gets its first answer.
Core tells every web ``{"wake": {"offset", "seq"}}`` after a commit and ``{"provisional": […]}`` for alarms that the
records could not take; web tells core ``{"followed": {name: offset}}`` and
``{"health": {"web": {…}, "history": {…}}}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from pydantic_core import from_json, to_json

from gridwarden.errors import ConfigError, CoreUnavailable, NotFound, Refused, Unavailable

Frame = dict[str, Any]
LINE_LIMIT = 4 * 2**20
"""Longest line, bytes."""
_PUSHES_LIMIT = 1_000
_PATH_LIMIT = 100
_log = structlog.get_logger("link")


def socket_path(data: Path, name: str) -> Path:
    """Where the socket ``name`` of a data directory lies; elsewhere if the system's limit on such paths is passed.

    Raises:
        ConfigError: that other place is not ours alone.
    """
    path = data.resolve() / f"{name}.sock"
    if len(os.fsencode(path)) <= _PATH_LIMIT:
        return path
    digest = hashlib.blake2b(os.fsencode(data.resolve()), digest_size=8).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"gridwarden-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _mine(folder):
        raise ConfigError("belongs to somebody else; use a shorter path for the data directory", path=folder)
    return folder / f"{name}.sock"


def _mine(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


class LinkServer:
    """Core's end."""

    def __init__(
        self,
        answer: Callable[[str, str, Frame], Awaitable[Frame]],
        hear: Callable[[Frame], None],
        greet: Callable[[], Iterable[Frame]] = tuple,
    ) -> None:
        """``answer(command_id, name, params)`` carries a command out; ``hear`` takes frames that want no answer.

        ``greet`` gives the frames that a web hears first when it connects.
        """
        self._answer = answer
        self._hear = hear
        self._greet = greet
        self._peers: set[_Peer] = set()

    @asynccontextmanager
    async def serve(self, path: Path) -> AsyncIterator[None]:
        """Listen at ``path`` until the end of the block."""
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._accept, path, limit=LINE_LIMIT)
        path.chmod(0o600)
        try:
            yield
        finally:
            server.close()
            await asyncio.gather(*(peer.end() for peer in tuple(self._peers)))
            path.unlink(missing_ok=True)

    @property
    def connected(self) -> int:
        """How many webs are there."""
        return len(self._peers)

    def wake(self, offset: int, seq: int) -> None:
        """Tell every web how far the records are; only the newest word counts."""
        for peer in self._peers:
            peer.wake = {"wake": {"offset": offset, "seq": seq}}
            peer.stir()

    def push(self, frame: Frame) -> None:
        """Tell every web; one that does not listen is cut off and comes back."""
        for peer in tuple(self._peers):
            peer.tell(frame)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = _Peer(writer, asyncio.current_task())
        self._peers.add(peer)
        for frame in self._greet():
            peer.tell(frame)
        try:
            await self._serve_peer(peer, reader)
        except asyncio.CancelledError:
            pass  # the end of the server, or a peer cut off; asyncio's streams would log it as an error of ours
        finally:
            self._peers.discard(peer)
            peer.cut()

    async def _serve_peer(self, peer: _Peer, reader: asyncio.StreamReader) -> None:
        async with asyncio.TaskGroup() as tasks:
            serving = [tasks.create_task(peer.send(), name="link-send")]
            try:
                async for line in _lines(reader):
                    frame = _frame(line)
                    if "command" in frame:
                        serving = [task for task in serving if not task.done()]
                        serving.append(tasks.create_task(self._carry_out(peer, *_command(frame)), name="link-command"))
                    else:
                        self._hear(frame)
            except ConnectionError:
                pass
            except ValueError as error:  # garbage, or a line too long: nobody of ours says that
                _log.warning("the link's other end is cut off", reason=str(error))
            for task in serving:
                task.cancel()

    async def _carry_out(self, peer: _Peer, command_id: str, name: str, params: Frame) -> None:
        try:
            answer = await self._answer(command_id, name, params)
            reply = {"id": command_id, "ok": True, "answer": answer}
        except Refused as error:
            kind = "not_found" if isinstance(error, NotFound) else "refused"
            reply = {"id": command_id, "ok": False, "kind": kind, "code": error.code, "detail": error.detail}
        except Unavailable as error:
            reply = {"id": command_id, "ok": False, "kind": "unavailable", "code": "records_unavailable",
                     "detail": str(error)}  # fmt: skip
        peer.tell(reply)


class _Peer:
    def __init__(self, writer: asyncio.StreamWriter, task: asyncio.Task[Any] | None) -> None:
        self._task = task
        self.wake: Frame | None = None
        self._pushes: list[Frame] = []
        self._stirred = asyncio.Event()
        self._writer = writer

    def stir(self) -> None:
        self._stirred.set()

    def tell(self, frame: Frame) -> None:
        """Queue ``frame``; one that leaves too many unread is cut off."""
        if len(self._pushes) >= _PUSHES_LIMIT:
            _log.warning("the link's other end does not listen and is cut off", unread=len(self._pushes))
            self.cut()
            if self._task:
                self._task.cancel()
            return
        self._pushes.append(frame)
        self.stir()

    def cut(self) -> None:
        """Close at once: what a peer that does not read has not read is not waited for."""
        self._writer.transport.abort()

    async def end(self) -> None:
        self._writer.close()
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def send(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await self._stirred.wait()
                self._stirred.clear()
                frames, self._pushes = self._pushes, []
                if self.wake:
                    frames.append(self.wake)
                    self.wake = None
                self._writer.writelines(to_json(frame) + b"\n" for frame in frames)
                await self._writer.drain()


def _frame(line: bytes) -> Frame:
    frame = from_json(line)
    if not isinstance(frame, dict):
        raise ValueError(f"an object is expected, not {type(frame).__name__}")  # noqa: TRY004 - as other garbage
    return frame


def _command(frame: Frame) -> tuple[str, str, Frame]:
    command_id, name, params = frame.get("id"), frame["command"], frame.get("params", {})
    if not isinstance(command_id, str) or not isinstance(name, str) or not isinstance(params, dict):
        raise ValueError("a command wants an id, a name and an object of parameters")  # noqa: TRY004 - as other garbage
    return command_id, name, params


def _check_reply(frame: Frame) -> None:
    """Raise ``ValueError`` for what is no answer to a command."""
    told = isinstance(frame.get("answer"), dict) if frame.get("ok") is True else frame.get("ok") is False
    refused = ("kind", "code", "detail") if frame.get("ok") is False else ()
    if not told or not all(isinstance(frame.get(name), str) for name in ("id", *refused)):
        raise ValueError("an answer wants an id, and what it answers or why not")


class LinkClient:
    """Web's end: connects, connects again, carries commands, hears pushes."""

    def __init__(self, path: Path, hear: Callable[[Frame], None]) -> None:
        """``hear`` takes what core tells of itself, and ``{"link": "up"|"down"}`` when the link changes.

        Where it understands nothing it raises ``ValueError``: the link is opened again.
        """
        self._path = path
        self._hear = hear
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[str, asyncio.Future[Frame]] = {}

    @property
    def connected(self) -> bool:
        """Whether core is there."""
        return self._writer is not None

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        while True:
            try:
                await self._session()
            except OSError:
                pass  # core is not there (yet)
            except ValueError as error:
                _log.error("the link says what nobody understands; it is opened again", error=str(error))
            await asyncio.sleep(0.1)

    async def _session(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_LIMIT)
        self._writer = writer
        self._hear({"link": "up"})
        try:
            async for line in _lines(reader):
                self._take(_frame(line))
        finally:
            self._writer = None
            writer.close()
            self._fail_waiting()
            self._hear({"link": "down"})

    def _take(self, frame: Frame) -> None:
        if "id" not in frame:
            self._hear(frame)
            return
        _check_reply(frame)
        waiting = self._waiting.pop(frame["id"], None)
        if waiting is not None:
            waiting.set_result(frame)

    def _fail_waiting(self) -> None:
        for waiting in self._waiting.values():
            waiting.set_exception(CoreUnavailable("the link broke before the answer"))
            waiting.exception()  # it was looked at, even if the one who asked has given up
        self._waiting.clear()

    def tell(self, frame: Frame) -> None:
        """Tell core something that wants no answer; lost when the link is down (it is told again later)."""
        writer = self._writer
        if writer is None or writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() > LINE_LIMIT:
            _log.warning("core does not read the link; it is opened again")
            writer.transport.abort()
            return
        writer.write(to_json(frame) + b"\n")

    async def command(self, command_id: str, name: str, params: Frame, timeout_s: float = 10.0) -> Frame:
        """Have core carry out a command and wait for its commit.

        Raises:
            Refused: core will not do it. CoreUnavailable: core is down, or did not answer in time.
        """
        if self._writer is None:
            raise CoreUnavailable("core is not there")
        waiting = self._waiting.get(command_id)
        if waiting is None:
            waiting = self._waiting[command_id] = asyncio.get_running_loop().create_future()
            self.tell({"id": command_id, "command": name, "params": params})
        try:
            async with asyncio.timeout(timeout_s):
                frame = await asyncio.shield(waiting)
        except TimeoutError as error:
            raise CoreUnavailable(f"no answer within {timeout_s:.0f} s") from error
        return _answer_of(frame)


def _answer_of(frame: Frame) -> Frame:
    if frame["ok"]:
        answer: Frame = frame["answer"]
        return answer
    match frame["kind"]:
        case "not_found":
            raise NotFound(frame["code"], frame["detail"])
        case "unavailable":
            raise CoreUnavailable(frame["detail"])
        case _:
            raise Refused(frame["code"], frame["detail"])


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while line := await reader.readline():
        yield line
