"""A disk that fails when it is told to: full, read-only, with I/O errors, or with the power cut. A file system in FUSE.

Everything lies in the memory of the process that serves it. What the power costs follows the model of a journalling file
system (ext4, ``data=ordered``, as most run it): a file's bytes survive once they were forced to the disk (fsync), names
survive once anything was forced after them, because the journal commits as a whole. What was written since may survive
or not, in any combination: with a seed each write decides for itself, without one none of them survives.

    with FaultyDisk(mount) as disk:
        disk.tell(capacity_bytes=0)          # full
        disk.tell(errors=["write", "fsync"]) # EIO
        disk.tell(read_only=True)
        disk.tell()                          # well again
        disk.cut_power(seed=7)

Run as a program it is the server: ``python -m tests.faults.disk MOUNT``, with one JSON command a line on standard input.
"""

from __future__ import annotations

import errno
import fnmatch
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import mfusepy

DEADLINE_S = 30.0
NO_BOUND = 1 << 40


@dataclass(eq=False, slots=True)
class Node:
    """A file, a folder or a socket."""

    mode: int
    now: bytearray = field(default_factory=bytearray)
    """What whoever reads it sees."""
    kept: bytearray = field(default_factory=bytearray)
    """What survives a power cut for certain."""
    unforced: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Since then: writes at an offset, and cuts to a length (``None``)."""
    changed_ns: int = 0
    links: int = 1

    def force(self) -> None:
        """As fsync does."""
        for place, data in self.unforced:
            _apply(self.kept, place, data)
        self.unforced.clear()

    def lose(self, chance: random.Random | None) -> None:
        """As a power cut does."""
        for place, data in self.unforced:
            if chance is not None and chance.random() < 0.5:
                _apply(self.kept, place, data)
        self.unforced.clear()
        self.now = bytearray(self.kept)


def _apply(body: bytearray, place: int, data: bytes | None) -> None:
    if data is None:
        del body[place:]
        body.extend(bytes(place - len(body)))
        return
    if place > len(body):
        body.extend(bytes(place - len(body)))
    body[place : place + len(data)] = data


class Disk(mfusepy.Operations):  # type: ignore[misc]  # untyped
    """The file system. One thread serves it; commands come from another."""

    use_ns = True

    def __init__(self) -> None:
        self._tree: dict[str, Node] = {"/": Node(stat.S_IFDIR | 0o755)}
        self._kept_tree = dict(self._tree)
        self._lock = threading.Lock()
        self._capacity_bytes = NO_BOUND
        self._read_only = False
        self._errors: frozenset[str] = frozenset()
        self._matching = "*"

    # --- commands -----------------------------------------------------------------------------------------------

    def obey(self, command: dict[str, Any]) -> None:
        """What :class:`FaultyDisk` tells it."""
        with self._lock:
            if command.pop("cut_power", False):
                self._cut_power(command.pop("seed"))
            self._capacity_bytes = command.get("capacity_bytes", NO_BOUND)
            self._read_only = command.get("read_only", False)
            self._errors = frozenset(command.get("errors", ()))
            self._matching = command.get("matching", "*")

    def _cut_power(self, seed: int | None) -> None:
        chance = None if seed is None else random.Random(seed)
        self._tree = dict(self._kept_tree)
        for node in {id(node): node for node in self._tree.values()}.values():
            node.lose(chance)

    # --- faults -------------------------------------------------------------------------------------------------

    def _meet(self, operation: str, path: str) -> None:
        if operation in self._errors and fnmatch.fnmatch(path.rpartition("/")[2], self._matching):
            raise OSError(errno.EIO, "told to fail")

    def _may_change(self, path: str) -> None:
        if self._read_only:
            raise OSError(errno.EROFS, "told to be read-only")
        self._meet("change", path)

    def _may_grow(self, by: int) -> None:
        if by > 0 and self._used() + by > self._capacity_bytes:
            raise OSError(errno.ENOSPC, "told to be full")

    def _used(self) -> int:
        return sum(len(node.now) for node in {id(node): node for node in self._tree.values()}.values())

    # --- files --------------------------------------------------------------------------------------------------

    def _node(self, path: str) -> Node:
        node = self._tree.get(path)
        if node is None:
            raise OSError(errno.ENOENT, path)
        return node

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        with self._lock:
            node = self._node(path)
            times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), node.changed_ns)
            return {"st_mode": node.mode, "st_nlink": node.links, "st_size": len(node.now), "st_uid": os.getuid(),
                    "st_gid": os.getgid(), "st_blocks": -(-len(node.now) // 512), **times}  # fmt: skip

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        with self._lock:
            above = "/" if path == "/" else f"{path}/"
            names = [name[len(above) :] for name in self._tree if name.startswith(above) and name != above]
        yield from (".", "..")
        yield from (name for name in names if "/" not in name)

    def _make(self, path: str, mode: int) -> int:
        with self._lock:
            self._may_change(path)
            if self._capacity_bytes == 0:
                raise OSError(errno.ENOSPC, "told to be full")
            self._tree[path] = Node(mode, changed_ns=time.time_ns())
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return self._make(path, stat.S_IFREG | (mode & 0o7777))

    def mknod(self, path: str, mode: int, dev: int) -> int:
        return self._make(path, mode)

    def mkdir(self, path: str, mode: int) -> int:
        return self._make(path, stat.S_IFDIR | (mode & 0o7777))

    def open(self, path: str, flags: int) -> int:
        with self._lock:
            self._node(path)
            self._meet("open", path)
            if flags & (os.O_WRONLY | os.O_RDWR) and self._read_only:
                raise OSError(errno.EROFS, "told to be read-only")
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self._lock:
            self._meet("read", path)
            return bytes(self._node(path).now[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with self._lock:
            node = self._node(path)
            self._may_change(path)
            self._meet("write", path)
            self._may_grow(offset + len(data) - len(node.now))
            _apply(node.now, offset, data)
            node.unforced.append((offset, data))
            node.changed_ns = time.time_ns()
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        with self._lock:
            node = self._node(path)
            self._may_change(path)
            self._may_grow(length - len(node.now))
            _apply(node.now, length, None)
            node.unforced.append((length, None))
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        raise OSError(errno.EOPNOTSUPP, path)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            self._meet("fsync", path)
            if path in self._tree:  # what was unlinked meanwhile is nobody's any more
                self._tree[path].force()
            self._kept_tree = dict(self._tree)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            self._kept_tree = dict(self._tree)
        return 0

    # --- names --------------------------------------------------------------------------------------------------

    def unlink(self, path: str) -> int:
        with self._lock:
            self._may_change(path)
            self._node(path).links -= 1
            del self._tree[path]
        return 0

    def rmdir(self, path: str) -> int:
        with self._lock:
            self._may_change(path)
            if any(name.startswith(f"{path}/") for name in self._tree):
                raise OSError(errno.ENOTEMPTY, path)
            del self._tree[path]
        return 0

    def rename(self, old: str, new: str) -> int:
        with self._lock:
            self._may_change(old)
            self._node(old)
            below = f"{old}/"
            moved = {name: node for name, node in self._tree.items() if name == old or name.startswith(below)}
            for name in moved:
                del self._tree[name]
            self._tree |= {new + name[len(old) :]: node for name, node in moved.items()}
        return 0

    def link(self, target: str, source: str) -> int:
        with self._lock:
            self._may_change(target)
            node = self._tree[target] = self._node(source)
            node.links += 1
        return 0

    def chmod(self, path: str, mode: int) -> int:
        with self._lock:
            self._may_change(path)
            node = self._node(path)
            node.mode = stat.S_IFMT(node.mode) | (mode & 0o7777)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        with self._lock:
            free = max(0, min(self._capacity_bytes, NO_BOUND) - self._used()) // 4096
            whole = free + self._used() // 4096 + 1
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": whole, "f_bfree": free, "f_bavail": free,
                "f_namemax": 255}  # fmt: skip


# --- the other side --------------------------------------------------------------------------------------------------


class FaultyDisk:
    """The disk as a test holds it: mounted within ``with``."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self._server: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.mount.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.faults.disk", str(self.mount)]
        here = Path(__file__).parents[2]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here)
        deadline = time.monotonic() + DEADLINE_S
        while not os.path.ismount(self.mount):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the disk was not mounted")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server.poll() is not None:
            return
        subprocess.run(["fusermount3", "-u", "-z", str(self.mount)], check=False, capture_output=True)
        try:
            self._server.communicate(timeout=1)
        except subprocess.TimeoutExpired:  # somebody still has a file of it open
            self._server.kill()
            self._server.communicate()

    def leave(self) -> None:
        """Unmount, and leave what is on it in its place, to be read at leisure."""
        kept = self.mount.with_name(f"{self.mount.name}.kept")
        shutil.copytree(self.mount, kept, ignore=_no_sockets)
        self.__exit__()
        self.mount.rmdir()
        kept.rename(self.mount)

    def tell(self, **command: Any) -> None:
        """How it is from now on; without arguments it is well."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(command) + "\n")
        self._server.stdin.flush()
        assert self._server.stdout.readline() == "done\n"

    def cut_power(self, seed: int | None = None) -> None:
        """Everything that was not forced is gone (with a seed: in part). Whoever had it open must be dead by now.

        What the kernel has cached of a file it lets go when the file is opened next.
        """
        self.tell(cut_power=True, seed=seed)

    @contextmanager
    def being(self, **command: Any) -> Iterator[None]:
        """Ill within the block, well after it."""
        self.tell(**command)
        try:
            yield
        finally:
            self.tell()


def _no_sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]


def why_not() -> str | None:
    """Why there can be no such disk on this machine; ``None``: there can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse that we may use"
    found = subprocess.run(["sh", "-c", "command -v fusermount3"], check=False, capture_output=True)
    return None if found.returncode == 0 else "no fusermount3 (Debian: fuse3)"


def _obey_forever(disk: Disk) -> None:
    for line in sys.stdin:
        disk.obey(json.loads(line))
        sys.stdout.write("done\n")
        sys.stdout.flush()


def main() -> None:
    """Serve until unmounted."""
    disk = Disk()
    threading.Thread(target=_obey_forever, args=(disk,), daemon=True).start()
    options = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0}
    mfusepy.FUSE(disk, sys.argv[1], foreground=True, nothreads=True, **options)


if __name__ == "__main__":
    main()
