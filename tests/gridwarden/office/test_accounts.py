import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from gridwarden.access import Principal, Role
from gridwarden.clock import ReplayClock
from gridwarden.errors import NotFound, Refused
from gridwarden.office.accounts import (
    IDLE_MS,
    LIFE_MS,
    SEEN_EVERY_MS,
    SESSIONS_PER_USER,
    Accounts,
)
from gridwarden.office.credentials import PASSWORD_MAX
from gridwarden.office.registry import Office
from gridwarden.office.throttle import TooManyAttempts

STREET = "330106003"
PASSWORD = "correct horse"


class CountingHasher(PasswordHash):
    """Argon2 at its cheapest, that tells what it was asked."""

    def __init__(self) -> None:
        super().__init__((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
        self.verified: list[tuple[str | bytes, str]] = []
        self.before: Callable[[], None] = lambda: None

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002
        self.verified.append((password, str(hash)))
        self.before()
        return super().verify(password, hash)


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(1_800_000_000_000)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def accounts(office: Office, clock: ReplayClock, hasher: CountingHasher) -> Accounts:
    return Accounts(office.database, clock, hasher)


def pass_ms(clock: ReplayClock, ms: int) -> None:
    clock.observe(clock.now_ms() + ms)


def sign_in(accounts: Accounts, name: str = "wang", password: str = PASSWORD) -> str:
    return accounts.sign_in(name, password, "10.0.0.1").token


def refused(accounts: Accounts, name: str, password: str) -> str:
    with pytest.raises(Refused) as error:
        accounts.sign_in(name, password, "10.0.0.1")
    return error.value.code


def test_sign_in_use_and_sign_out(accounts: Accounts) -> None:
    user = accounts.create_user("wang", Role.OPERATOR, [STREET], PASSWORD)
    opened = accounts.sign_in("wang", PASSWORD, "10.0.0.1")
    who = Principal(user.user_id, "wang", Role.OPERATOR, (STREET,))
    assert opened.principal == who
    assert accounts.session_principal(opened.token) == who
    accounts.sign_out(opened.token)
    assert accounts.session_principal(opened.token) is None
    accounts.sign_out(opened.token)


@pytest.mark.parametrize(
    "password", ["", "wrong password", PASSWORD + " ", PASSWORD.upper(), "x" * 1_000_000, "\ud800", "\0"]
)
def test_a_wrong_password(accounts: Accounts, password: str) -> None:
    accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    assert refused(accounts, "wang", password) == "bad_credentials"


@pytest.mark.parametrize("name", ["li", "", "WANG", "x" * 100_000, "\ud800", "wang\0"])
def test_an_unknown_name_costs_what_a_known_one_does(accounts: Accounts, hasher: CountingHasher, name: str) -> None:
    accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    assert refused(accounts, name, PASSWORD) == "bad_credentials"
    assert refused(accounts, "wang", "wrong password") == "bad_credentials"
    parameters = [hashed.split("$")[1:4] for _, hashed in hasher.verified]
    assert len(parameters) == 2
    assert parameters[0] == parameters[1]


def test_a_password_as_long_as_allowed_and_longer(accounts: Accounts) -> None:
    longest = "密" * PASSWORD_MAX
    accounts.create_user("wang", Role.OPERATOR, [""], longest)
    assert refused(accounts, "wang", longest + "x") == "bad_credentials"
    assert sign_in(accounts, password=longest)


def test_full_width_input_is_the_same_name_and_password(accounts: Accounts) -> None:
    accounts.create_user("wang", Role.OPERATOR, [""], "abc1234567")
    assert sign_in(accounts, "ｗａｎｇ ", "ａｂｃ１２３４５６７")


@pytest.mark.parametrize(
    ("name", "areas", "password", "detail"),
    [
        ("", [""], PASSWORD, "name"),
        (" ", [""], PASSWORD, "name"),
        ("x" * 65, [""], PASSWORD, "name"),
        ("a\nb", [""], PASSWORD, "name"),
        ("li", ["33010"], PASSWORD, "areas"),
        ("li", [""], "short", "password"),
        ("li", [""], "x" * 129, "password"),
    ],
)
def test_what_cannot_be_an_account(accounts: Accounts, name: str, areas: list[str], password: str, detail: str) -> None:
    with pytest.raises(Refused, match=f"invalid: {detail}"):
        accounts.create_user(name, Role.VIEWER, areas, password)
    assert accounts.users() == []


def test_names_are_unique(accounts: Accounts) -> None:
    accounts.create_user("wang", Role.VIEWER, [], PASSWORD)
    with pytest.raises(Refused, match="name_taken"):
        accounts.create_user("ｗａｎｇ", Role.VIEWER, [], PASSWORD)


def test_a_session_ends_when_idle(accounts: Accounts, clock: ReplayClock) -> None:
    accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    token = sign_in(accounts)
    pass_ms(clock, IDLE_MS - 1)
    assert accounts.session_principal(token)
    pass_ms(clock, IDLE_MS - 1)
    assert accounts.session_principal(token)
    pass_ms(clock, IDLE_MS)
    assert accounts.session_principal(token) is None


def test_a_session_ends_after_a_week_however_busy(accounts: Accounts, clock: ReplayClock) -> None:
    accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    token, start_ms = sign_in(accounts), clock.now_ms()
    while clock.now_ms() < start_ms + LIFE_MS - IDLE_MS // 2:
        assert accounts.session_principal(token)
        pass_ms(clock, IDLE_MS // 2)
    assert accounts.session_principal(token)
    clock.observe(start_ms + LIFE_MS)
    assert accounts.session_principal(token) is None


def test_a_request_never_waits_for_a_writer(accounts: Accounts, office: Office, clock: ReplayClock) -> None:
    accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    token = sign_in(accounts)
    pass_ms(clock, SEEN_EVERY_MS)
    with office.database.write():
        assert accounts.session_principal(token)


def test_sessions_are_bounded_and_old_ones_swept(accounts: Accounts, office: Office, clock: ReplayClock) -> None:
    accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    tokens = []
    for _ in range(SESSIONS_PER_USER + 1):
        pass_ms(clock, 1)
        tokens.append(sign_in(accounts))
    assert [accounts.session_principal(token) is not None for token in tokens] == [False] + [True] * SESSIONS_PER_USER
    pass_ms(clock, IDLE_MS)
    sign_in(accounts)
    with closing(sqlite3.connect(office.database.path)) as plain:
        assert plain.execute("SELECT count(*) FROM session").fetchone() == (1,)


def test_changes_hold_at_once(accounts: Accounts) -> None:
    user = accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    token = sign_in(accounts)
    _, secret = accounts.create_token(user.user_id, "wall display")
    accounts.change_user(user.user_id, role=Role.VIEWER, areas=[STREET])
    want = Principal(user.user_id, "wang", Role.VIEWER, (STREET,))
    assert accounts.session_principal(token) == accounts.token_principal(secret) == want
    accounts.change_user(user.user_id, disabled=True)
    assert accounts.session_principal(token) is accounts.token_principal(secret) is None
    assert refused(accounts, "wang", PASSWORD) == "bad_credentials"
    accounts.change_user(user.user_id, disabled=False)
    assert accounts.session_principal(token) is None
    assert accounts.token_principal(secret) == want


def test_a_new_password_ends_the_sessions(accounts: Accounts) -> None:
    user = accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    token = sign_in(accounts)
    accounts.set_password(user.user_id, "battery staple")
    assert accounts.session_principal(token) is None
    assert refused(accounts, "wang", PASSWORD) == "bad_credentials"
    assert sign_in(accounts, password="battery staple")


def test_a_password_changed_while_it_is_checked(accounts: Accounts, hasher: CountingHasher) -> None:
    user = accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    hasher.before = lambda: accounts.set_password(user.user_id, "battery staple")
    assert refused(accounts, "wang", PASSWORD) == "bad_credentials"


def test_unknown_accounts(accounts: Accounts) -> None:
    for call in (
        lambda: accounts.user("u0"),
        lambda: accounts.change_user("u0", role=Role.ADMIN),
        lambda: accounts.set_password("u0", PASSWORD),
        lambda: accounts.create_token("u0", "x"),
        lambda: accounts.revoke_token("0" * 16),
        lambda: accounts.revoke_token(""),
    ):
        with pytest.raises(NotFound):
            call()


def test_api_tokens(accounts: Accounts, clock: ReplayClock) -> None:
    user = accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    token, secret = accounts.create_token(user.user_id, "subscriber")
    other, other_secret = accounts.create_token(user.user_id, "other")
    assert secret.startswith("gw_")
    assert accounts.tokens(user.user_id) == [token, other]
    pass_ms(clock, 400 * 86_400_000)
    assert accounts.token_principal(secret)
    accounts.revoke_token(token.token_id)
    assert accounts.token_principal(secret) is None
    assert accounts.token_principal(other_secret)
    with pytest.raises(NotFound):
        accounts.revoke_token(token.token_id)
    assert [token.revoked_at_ms for token in accounts.tokens(user.user_id)] == [clock.now_ms(), None]
    for wrong in ("", "gw_", "gw_\ud800", secret[:-1], sign_in(accounts)):
        assert accounts.token_principal(wrong) is None
    assert accounts.session_principal(other_secret) is None


def test_no_secret_lies_in_the_file(accounts: Accounts, office: Office) -> None:
    user = accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)
    secrets = [PASSWORD, sign_in(accounts), accounts.create_token(user.user_id, "x")[1]]
    folder: Path = office.database.path.parent
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"wang" in content
    assert [
        secret for secret in secrets if secret.encode() in content or secret.removeprefix("gw_").encode() in content
    ] == []


def test_the_first_account(accounts: Accounts) -> None:
    first = accounts.ensure_first_user()
    assert first is not None
    user, password = first
    assert (user.name, user.role, user.areas) == ("operator", Role.OPERATOR, ("",))
    assert sign_in(accounts, "operator", password)
    assert accounts.ensure_first_user() is None
    assert accounts.users() == [user]


def test_one_first_account_even_if_two_ask_at_once(accounts: Accounts) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: accounts.ensure_first_user(), range(4)))
    assert len([one for one in made if one is not None]) == len(accounts.users()) == 1


def test_guessing_is_held_back_even_in_parallel_and_with_the_right_password(
    accounts: Accounts, clock: ReplayClock
) -> None:
    accounts.create_user("wang", Role.OPERATOR, [""], PASSWORD)

    def guess(number: int) -> str:
        return refused(accounts, "wang", f"wrong password {number}")

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(guess, range(20)))
    assert sorted(codes) == ["bad_credentials"] * 5 + ["too_many_attempts"] * 15
    with pytest.raises(TooManyAttempts):
        sign_in(accounts)
    pass_ms(clock, 1000)
    assert sign_in(accounts)
