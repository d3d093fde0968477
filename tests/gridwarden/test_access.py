import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.access import Action, Principal, Role, may, may_anywhere, may_grant, require, scopes
from gridwarden.errors import Forbidden

STREET, OTHER_STREET, GRID = "330106003", "330106004", "330106003012001"

ALLOWED = {
    Action.SEE: {Role.VIEWER, Role.OPERATOR, Role.ADMIN},
    Action.ACKNOWLEDGE: {Role.OPERATOR, Role.ADMIN},
    Action.CONFIRM: {Role.OPERATOR, Role.ADMIN},
    Action.CLOSE: {Role.OPERATOR, Role.ADMIN},
    Action.SILENCE: {Role.OPERATOR, Role.ADMIN},
    Action.APPROVE_QUIETING: {Role.ADMIN},
    Action.SEE_PLATFORM: {Role.OPERATOR, Role.ADMIN},
    Action.RETRY: {Role.OPERATOR, Role.ADMIN},
    Action.CHANGE_REGISTRY: {Role.ADMIN},
    Action.CHANGE_RULES: {Role.ADMIN},
    Action.MANAGE_USERS: {Role.ADMIN},
}
COVERED = [
    # areas of the principal, area asked for, covered
    ((), "", False),
    ((), STREET, False),
    (("",), "", True),
    (("",), STREET, True),
    ((STREET,), "", False),
    ((STREET,), STREET, True),
    ((STREET,), GRID, True),
    ((STREET,), "330106", False),
    ((STREET,), OTHER_STREET, False),
    ((OTHER_STREET, STREET), GRID, True),
]


def principal(role: Role = Role.OPERATOR, *areas: str) -> Principal:
    return Principal("u1", "wang", role, areas)


def test_table_names_every_action() -> None:
    assert set(ALLOWED) == set(Action)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("areas", "area", "covered"), COVERED)
def test_policy(role: Role, action: Action, areas: tuple[str, ...], area: str, covered: bool) -> None:
    who = principal(role, *areas)
    allowed = covered and role in ALLOWED[action]
    assert may(who, action, area) is allowed
    if allowed:
        require(who, action, area)
        return
    with pytest.raises(Forbidden) as refused:
        require(who, action, area)
    assert refused.value.code == ("forbidden_area" if role in ALLOWED[action] else "forbidden")


def test_unknown_role_may_nothing() -> None:
    stranger = Principal("u1", "wang", "root", ("",))  # type: ignore[arg-type]
    assert not any(may(stranger, action, area) for action in Action for area in ("", STREET))
    assert scopes(stranger) == []
    assert not may_grant(stranger, Role.VIEWER, [])


def test_scopes_leave_out_what_lies_in_another() -> None:
    assert scopes(principal(Role.VIEWER, GRID, STREET, OTHER_STREET)) == [STREET, OTHER_STREET]
    assert scopes(principal(Role.VIEWER, STREET, "")) == [""]
    assert scopes(principal(Role.VIEWER)) == []


codes = st.sampled_from(["", "3301", "330106", STREET, OTHER_STREET, GRID, GRID + "P001"])


@given(st.lists(codes, max_size=4), codes)
def test_scopes_say_the_same_as_may(areas: list[str], area: str) -> None:
    who = principal(Role.VIEWER, *areas)
    assert may(who, Action.SEE, area) == any(area.startswith(scope) for scope in scopes(who))


def test_nobody_grants_more_than_they_have() -> None:
    admin = principal(Role.ADMIN, STREET)
    assert may_grant(admin, Role.ADMIN, [STREET, GRID])
    assert not may_grant(admin, Role.VIEWER, [""])
    assert not may_grant(admin, Role.VIEWER, [GRID, OTHER_STREET])
    assert not may_grant(principal(Role.OPERATOR, ""), Role.VIEWER, [GRID])


def test_may_anywhere() -> None:
    assert may_anywhere(principal(Role.ADMIN, STREET), Action.CHANGE_REGISTRY)
    assert not may_anywhere(principal(Role.ADMIN), Action.SEE)
