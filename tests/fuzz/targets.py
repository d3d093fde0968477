"""Every way in, in one place."""

from __future__ import annotations

from functools import cache

from tests.fuzz.incoming import INCOMING
from tests.fuzz.registry_files import REGISTRY
from tests.fuzz.rule_files import RULES
from tests.fuzz.stored import STORED
from tests.fuzz.target import Target
from tests.fuzz.web import web_targets

FILES: tuple[Target, ...] = (*INCOMING, *STORED, *RULES, *REGISTRY)
"""Those that need no running application."""


@cache
def targets() -> dict[str, Target]:
    """All of them by name; starts the application."""
    return {target.name: target for target in (*FILES, *web_targets())}
