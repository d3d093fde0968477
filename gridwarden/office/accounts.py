"""People and programs that may come in: passwords, server-side sessions, API tokens. Calls block: make them from threads."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from gridwarden import areas as area_codes
from gridwarden.access import Principal, Role
from gridwarden.clock import Clock
from gridwarden.errors import ConfigError, NotFound, Refused
from gridwarden.office.credentials import NAME_LIMIT, Passwords, checked_name, checked_password, digest, normal
from gridwarden.office.database import Database, OfficeUnavailable
from gridwarden.office.schema import api_token, session, user_account
from gridwarden.office.throttle import LoginThrottle

IDLE_MS = 12 * 3_600_000
"""A session that nobody used for a shift is over."""
LIFE_MS = 7 * 86_400_000
"""A session is over after this in any case."""
SEEN_EVERY_MS = 60_000
"""How exactly the last use of a session is known: a write a minute, not one a request."""
SESSIONS_PER_USER = 50
"""The oldest give way."""
TOKEN_PREFIX = "gw_"  # noqa: S105 - lets a scanner recognise a leaked token


@dataclass(frozen=True, slots=True)
class User:
    """An account, without its secret."""

    user_id: str
    name: str
    role: Role
    areas: tuple[str, ...]
    disabled: bool
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An API token, without its secret."""

    token_id: str
    name: str
    user_id: str
    created_at_ms: int
    revoked_at_ms: int | None


@dataclass(frozen=True, slots=True)
class SignIn:
    """A new session. The token goes into the cookie and is told this once."""

    token: str
    principal: Principal
    expires_at_ms: int


class Accounts:
    """The accounts in ``office.db``.

    Args:
        database: the opened file.
        clock: for expiry and the throttle.
        hasher: how passwords are hashed; argon2id with the library's recommended cost unless told otherwise.
    """

    def __init__(self, database: Database, clock: Clock, hasher: PasswordHash | None = None) -> None:
        self._database = database
        self._clock = clock
        self._passwords = Passwords(hasher or PasswordHash((Argon2Hasher(),)))
        self._throttle = LoginThrottle()

    # Users

    def create_user(self, name: str, role: Role, areas: Iterable[str], password: str) -> User:
        """A new account.

        Raises:
            Refused: ``name_taken``, or ``invalid`` with what is wrong.
        """
        user = User(
            f"u{secrets.token_hex(8)}",
            checked_name(name),
            Role(role),
            _checked_areas(areas),
            False,
            self._clock.now_ms(),
        )
        hashed = self._passwords.hash(checked_password(password))
        with self._database.write() as connection:
            _insert_user(connection, user, hashed)
        return user

    def ensure_first_user(self, name: str = "operator", role: Role = Role.OPERATOR) -> tuple[User, str] | None:
        """With no account at all: one that may act everywhere, and its fresh password, told this once. Else ``None``."""
        with self._database.read() as connection:
            if _count_users(connection):
                return None
        password = secrets.token_urlsafe(12)
        user = User(f"u{secrets.token_hex(8)}", checked_name(name), Role(role), ("",), False, self._clock.now_ms())
        hashed = self._passwords.hash(password)
        with self._database.write() as connection:
            if _count_users(connection):  # someone else was faster
                return None
            _insert_user(connection, user, hashed)
        return user, password

    def users(self) -> list[User]:
        """All accounts by name."""
        with self._database.read() as connection:
            return [_user(row) for row in connection.execute(select(user_account).order_by(user_account.c.name))]

    def user(self, user_id: str) -> User:
        """One account; raises :class:`NotFound`."""
        with self._database.read() as connection:
            row = connection.execute(select(user_account).where(user_account.c.user_id == user_id)).first()
        if row is None:
            raise NotFound("not_found", user_id)
        return _user(row)

    def change_user(
        self,
        user_id: str,
        *,
        role: Role | None = None,
        areas: Iterable[str] | None = None,
        disabled: bool | None = None,
    ) -> User:
        """Change what is given. Holds from the next request on; disabling ends the sessions.

        Raises:
            NotFound: no such account.
            Refused: ``invalid``.
        """
        values: dict[str, Any] = {}
        if role is not None:
            values["role"] = str(Role(role))
        if areas is not None:
            values["areas"] = json.dumps(_checked_areas(areas))
        if disabled is not None:
            values["disabled"] = disabled
        if values:
            self._update_user(user_id, values, end_sessions=bool(disabled))
        return self.user(user_id)

    def set_password(self, user_id: str, password: str) -> None:
        """Change the password; every session of the account ends, API tokens stay."""
        hashed = self._passwords.hash(checked_password(password))
        self._update_user(user_id, {"password_hash": hashed}, end_sessions=True)

    def _update_user(self, user_id: str, values: dict[str, Any], *, end_sessions: bool) -> None:
        with self._database.write() as connection:
            done = connection.execute(update(user_account).where(user_account.c.user_id == user_id).values(values))
            if not done.rowcount:
                raise NotFound("not_found", user_id)
            if end_sessions:
                connection.execute(delete(session).where(session.c.user_id == user_id))

    # Sessions

    def sign_in(self, name: str, password: str, address: str) -> SignIn:
        """Open a session for the right name and password, from the network address ``address``.

        Raises:
            TooManyAttempts: too many failures of this name from this address.
            Refused: ``bad_credentials``, whichever of the two is wrong, or the account is disabled.
        """
        name = normal(name)[: NAME_LIMIT + 1]
        self._throttle.admit(name, address, self._clock.now_ms())
        with self._database.read() as connection:
            # What is not printable (half a character, say) cannot be looked up and is nobody's name.
            known = select(user_account).where(user_account.c.name == (name if name.isprintable() else ""))
            row = connection.execute(known).first()
        right = self._passwords.verify(password, None if row is None else row.password_hash)
        if row is None or not right or row.disabled:
            raise Refused("bad_credentials", "name or password is wrong")
        self._throttle.succeeded(name, address)
        return self._open_session(row)

    def _open_session(self, row: Row[Any]) -> SignIn:
        now_ms = self._clock.now_ms()
        token = secrets.token_urlsafe(32)
        values = {"token_hash": digest(token), "user_id": row.user_id, "created_at_ms": now_ms,
                  "expires_at_ms": now_ms + LIFE_MS, "last_seen_at_ms": now_ms}  # fmt: skip
        with self._database.write() as connection:
            # The account may have been changed while the password was being checked.
            same = select(user_account.c.user_id).where(
                user_account.c.user_id == row.user_id,
                user_account.c.password_hash == row.password_hash,
                user_account.c.disabled.is_(False),
            )
            if connection.execute(same).first() is None:
                raise Refused("bad_credentials", "name or password is wrong")
            connection.execute(delete(session).where(_over(now_ms)))
            newest = select(session.c.token_hash).where(session.c.user_id == row.user_id)
            newest = newest.order_by(session.c.created_at_ms.desc()).limit(SESSIONS_PER_USER - 1)
            surplus = delete(session).where(session.c.user_id == row.user_id, session.c.token_hash.not_in(newest))
            connection.execute(surplus)
            connection.execute(insert(session).values(values))
        return SignIn(token, _principal(row), now_ms + LIFE_MS)

    def session_principal(self, token: str) -> Principal | None:
        """Who the session of ``token`` belongs to; ``None`` where it is unknown, over, or the account disabled."""
        now_ms = self._clock.now_ms()
        hashed = digest(token)
        query = select(user_account, session.c.last_seen_at_ms).join(
            session, session.c.user_id == user_account.c.user_id
        )
        query = query.where(session.c.token_hash == hashed, ~_over(now_ms), user_account.c.disabled.is_(False))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if now_ms - row.last_seen_at_ms >= SEEN_EVERY_MS:
            self._note_seen(hashed, now_ms)
        return _principal(row)

    def _note_seen(self, token_hash: bytes, now_ms: int) -> None:
        try:
            with self._database.write(wait_s=0) as connection:
                connection.execute(
                    update(session).where(session.c.token_hash == token_hash).values(last_seen_at_ms=now_ms)
                )
        except OfficeUnavailable:
            return  # an import is at work: the next request will note it, no request waits for this

    def sign_out(self, token: str) -> None:
        """End the session of ``token``; nothing where there is none."""
        with self._database.write() as connection:
            connection.execute(delete(session).where(session.c.token_hash == digest(token)))

    # API tokens

    def create_token(self, user_id: str, name: str) -> tuple[ApiToken, str]:
        """A token that acts with the rights of ``user_id``, and its secret, told this once; raises :class:`NotFound`."""
        user = self.user(user_id)
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        values = {"token_hash": digest(secret), "name": checked_name(name), "user_id": user.user_id,
                  "created_at_ms": self._clock.now_ms(), "revoked_at_ms": None}  # fmt: skip
        with self._database.write() as connection:
            connection.execute(insert(api_token).values(values))
        return _token(values), secret

    def tokens(self, user_id: str) -> list[ApiToken]:
        """The tokens of an account, revoked ones too, oldest first."""
        query = select(api_token).where(api_token.c.user_id == user_id).order_by(api_token.c.created_at_ms)
        with self._database.read() as connection:
            return [_token(row) for row in connection.execute(query).mappings()]

    def token_principal(self, secret: str) -> Principal | None:
        """Who the API token belongs to; ``None`` where it is unknown or revoked, or the account disabled."""
        query = select(user_account).join(api_token, api_token.c.user_id == user_account.c.user_id)
        query = query.where(
            api_token.c.token_hash == digest(secret),
            api_token.c.revoked_at_ms.is_(None),
            user_account.c.disabled.is_(False),
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _principal(row)

    def revoke_token(self, token_id: str) -> None:
        """End a token, for ever; raises :class:`NotFound`."""
        mine = func.lower(func.hex(api_token.c.token_hash)).startswith(token_id, autoescape=True)
        statement = update(api_token).where(mine, api_token.c.revoked_at_ms.is_(None))
        if len(token_id) != _TOKEN_ID_LENGTH:
            raise NotFound("not_found", token_id)
        with self._database.write() as connection:
            if not connection.execute(statement.values(revoked_at_ms=self._clock.now_ms())).rowcount:
                raise NotFound("not_found", token_id)


_TOKEN_ID_LENGTH = 16


def _over(now_ms: int) -> ColumnElement[bool]:
    return or_(session.c.expires_at_ms <= now_ms, session.c.last_seen_at_ms <= now_ms - IDLE_MS)


def _count_users(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(user_account)).scalar_one())


def _insert_user(connection: Connection, user: User, hashed: str) -> None:
    values = {"user_id": user.user_id, "name": user.name, "role": str(user.role), "areas": json.dumps(user.areas),
              "password_hash": hashed, "disabled": user.disabled, "created_at_ms": user.created_at_ms}  # fmt: skip
    try:
        connection.execute(insert(user_account).values(values))
    except IntegrityError as error:
        raise Refused("name_taken", user.name) from error


def _checked_areas(areas: Iterable[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted({code and area_codes.check(code) for code in areas}))
    except ConfigError as error:
        raise Refused("invalid", f"areas: {error.reason}") from error


def _user(row: Row[Any]) -> User:
    return User(row.user_id, row.name, Role(row.role), tuple(json.loads(row.areas)), row.disabled, row.created_at_ms)


def _principal(row: Row[Any]) -> Principal:
    return Principal(row.user_id, row.name, Role(row.role), tuple(json.loads(row.areas)))


def _token(row: Any) -> ApiToken:
    return ApiToken(
        row["token_hash"].hex()[:_TOKEN_ID_LENGTH],
        row["name"],
        row["user_id"],
        row["created_at_ms"],
        row["revoked_at_ms"],
    )
