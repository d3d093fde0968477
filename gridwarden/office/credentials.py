"""Names, passwords and tokens before they reach the database. No disk, no clock."""

from __future__ import annotations

import hashlib
import secrets
import threading
import unicodedata

from pwdlib import PasswordHash

from gridwarden.errors import Refused

PASSWORD_MIN, PASSWORD_MAX = 10, 128
"""Characters. The upper bound keeps a request from making the hash work on megabytes."""
NAME_LIMIT = 64
PARALLEL_HASHES = 2
"""Each takes 64 MiB for a tenth of a second; a crowd at the door waits instead of filling the memory."""


class Passwords:
    """Hashing and checking, a few at a time. ``hasher`` says how."""

    def __init__(self, hasher: PasswordHash) -> None:
        self._hasher = hasher
        self._hashing = threading.BoundedSemaphore(PARALLEL_HASHES)
        self._nobodys_hash = self.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """What is stored of a password."""
        with self._hashing:
            return self._hasher.hash(_password_bytes(password))

    def verify(self, password: str, hashed: str | None) -> bool:
        """Whether ``password`` is the one of ``hashed``.

        Without ``hashed`` (nobody has that name) it never is, and finding that out takes just as long.
        """
        known = hashed is not None and len(password) <= PASSWORD_MAX
        with self._hashing:
            right = self._hasher.verify(_password_bytes(password[:PASSWORD_MAX]), hashed or self._nobodys_hash)
        return right and known


def normal(text: str) -> str:
    """Full-width and composed characters as their plain forms: input methods differ between machines."""
    return unicodedata.normalize("NFKC", text).strip()


def _password_bytes(password: str) -> bytes:
    # Half a character (a lone surrogate) is no password anyone set; it must be wrong, not an error.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def checked_name(name: str) -> str:
    """The name in its plain form; raises :class:`Refused` where it cannot be one."""
    plain = normal(name)
    if not 1 <= len(plain) <= NAME_LIMIT or not plain.isprintable():
        raise Refused("invalid", f"name: 1 to {NAME_LIMIT} printable characters are expected")
    return plain


def checked_password(password: str) -> str:
    """``password`` itself if its length is allowed; raises :class:`Refused` otherwise."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise Refused("invalid", f"password: {PASSWORD_MIN} to {PASSWORD_MAX} characters are expected")
    return password


def digest(token: str) -> bytes:
    """What is stored of a token: its SHA-256. It has 256 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
