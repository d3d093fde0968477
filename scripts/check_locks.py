"""Lock files carry versions and hashes and no download address, so that any mirror can serve them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ADDRESS = re.compile(r"https?://|git\+|file:")


def problems_of_requirements(path: Path) -> list[str]:
    """Lines with an address, and pins without a hash."""
    lines = path.read_text("utf-8").splitlines()
    found = [
        f"{path}:{number}: an address: {line.strip()}" for number, line in enumerate(lines, 1) if ADDRESS.search(line)
    ]
    for number, line in enumerate(lines, 1):
        if "==" in line and not line.startswith(("#", " ")) and not lines[number].lstrip().startswith("--hash="):
            found.append(f"{path}:{number}: no hash: {line.strip()}")
    return found


def problems_of_npm(path: Path) -> list[str]:
    """Packages with an address, and packages without an integrity hash."""
    found = []
    for name, package in json.loads(path.read_text("utf-8"))["packages"].items():
        if "resolved" in package:
            found.append(f"{path}: {name}: an address: {package['resolved']}")
        if name and "integrity" not in package and not package.get("inBundle"):
            found.append(f"{path}: {name}: no integrity hash")
    return found


def main() -> int:
    """Print every problem; 1 if there is one."""
    found = [
        problem for path in sorted(Path().glob("requirements*.lock")) for problem in problems_of_requirements(path)
    ]
    found += problems_of_npm(Path("dashboards/package-lock.json"))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
