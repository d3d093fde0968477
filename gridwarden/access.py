"""THE access policy: who may do what, and where. Pure; HTTP, websocket, notifications and exports all ask here.

Deny by default. An area of a principal is a code prefix: ``"330106003"`` is that street and all below it, ``""`` is
everywhere. What has no area (``""``) concerns the whole installation: only a principal with ``""`` may touch it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gridwarden.areas import within
from gridwarden.errors import Forbidden


class Role(StrEnum):
    """What a person (or program) is trusted with. Each role may also do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Action(StrEnum):
    """What can be asked of the system."""

    SEE = "see"
    ACKNOWLEDGE = "acknowledge"
    CONFIRM = "confirm"
    CLOSE = "close"
    SILENCE = "silence"
    """Quiet alarms in any of the ways there are, and end it."""
    APPROVE_QUIETING = "approve_quieting"
    """Agree, as the second person, that fire, entrapment and latched alarms are quieted."""
    SEE_PLATFORM = "see_platform"
    """Ledger, dead letters, quarantine, state of the parts: facts of the installation, without an area."""
    RETRY = "retry"
    """Judge once more what was set aside."""
    CHANGE_REGISTRY = "change_registry"
    CHANGE_RULES = "change_rules"
    MANAGE_USERS = "manage_users"


_VIEWER = frozenset({Action.SEE})
_OPERATOR = _VIEWER | {
    Action.ACKNOWLEDGE,
    Action.CONFIRM,
    Action.CLOSE,
    Action.SILENCE,
    Action.SEE_PLATFORM,
    Action.RETRY,
}
_ADMIN = _OPERATOR | {Action.APPROVE_QUIETING, Action.CHANGE_REGISTRY, Action.CHANGE_RULES, Action.MANAGE_USERS}
_ALLOWED: dict[str, frozenset[Action]] = {Role.VIEWER: _VIEWER, Role.OPERATOR: _OPERATOR, Role.ADMIN: _ADMIN}


@dataclass(frozen=True, slots=True)
class Principal:
    """The one who asks: a signed-in person, or the person whose API token a program carries."""

    user_id: str
    name: str
    role: Role
    areas: tuple[str, ...]
    """Area code prefixes; none at all: nowhere."""


def _covers(principal: Principal, area: str) -> bool:
    return any(within(area, scope) for scope in principal.areas)


def may(principal: Principal, action: Action, area: str) -> bool:
    """Whether ``principal`` may do ``action`` to something in ``area`` (``""``: something without an area)."""
    return action in _ALLOWED.get(principal.role, frozenset()) and _covers(principal, area)


def require(principal: Principal, action: Action, area: str) -> None:
    """Pass if ``principal`` may do it.

    Raises:
        Forbidden: ``forbidden`` where the role does not allow the action anywhere, ``forbidden_area`` where it
            does but not there.
    """
    if may(principal, action, area):
        return
    if action not in _ALLOWED.get(principal.role, frozenset()):
        raise Forbidden("forbidden", f"{action} is not for the role {principal.role}")
    raise Forbidden("forbidden_area", f"{action} in {area or 'the whole installation'}")


def scopes(principal: Principal) -> list[str]:
    """The code prefixes a query for ``principal`` must be limited to: ``[""]`` is everything, ``[]`` nothing.

    Prefixes that lie in another one of the list are left out.
    """
    if not may_anywhere(principal, Action.SEE):
        return []
    return [
        scope
        for scope in sorted(set(principal.areas))
        if not any(scope != other and within(scope, other) for other in principal.areas)
    ]


def may_anywhere(principal: Principal, action: Action) -> bool:
    """Whether there is any area in which ``principal`` may do ``action`` (to show or hide a button)."""
    return any(may(principal, action, area) for area in principal.areas)


def may_grant(principal: Principal, role: Role, areas: Iterable[str]) -> bool:
    """Whether ``principal`` may give someone ``role`` in ``areas``: nobody hands out more than they have."""
    given = tuple(areas)
    return (
        may_anywhere(principal, Action.MANAGE_USERS)
        and _ALLOWED.get(role, frozenset(Action)) <= _ALLOWED[principal.role]
        and all(may(principal, Action.MANAGE_USERS, area) for area in given)
    )
