"""Tests mirror the sources: ``ingest/codecs/x.py`` has ``tests/ingest/codecs/test_x.py``, and no test is an orphan.

Exceptions stand here by name, with the reason.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

WITHOUT_TEST = {
    "gridwarden/errors.py": "names only; every raise is tested where it happens",
    "gridwarden/model.py": "fields only; every user of them is a test",
    "gridwarden/records/migrations": "run from nothing to the newest by the tests of the database",
}


def is_bare(path: Path) -> bool:
    """Whether a module defines nothing: a package's docstring, version or list of names."""
    tree = ast.parse(path.read_text("utf-8"))
    return not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in ast.walk(tree))


def is_excepted(source: Path) -> bool:
    """Whether the module, or a folder it lies in, is named in ``WITHOUT_TEST``."""
    return any(str(path) in WITHOUT_TEST for path in (source, *source.parents))


def test_of(source: Path) -> Path:
    """Where the test of ``source`` must lie; a package's own code is tested under the package's name."""
    name = source.parent.name if source.stem == "__init__" else source.stem.strip("_")
    return Path("tests") / source.parent / f"test_{name}.py"


def main(packages: list[str]) -> int:
    """Print every source without its test and every test without its source; 1 if there is one."""
    sources = sorted(path for package in packages for path in Path(package).rglob("*.py"))
    wanted = {test_of(source): source for source in sources}
    found = [
        f"{source} has no {test}"
        for test, source in wanted.items()
        if not test.exists() and not is_excepted(source) and not is_bare(source)
    ]
    found += [f"exception for {name}, which does not exist" for name in WITHOUT_TEST if not Path(name).exists()]
    mirrors = [path for package in packages for path in sorted((Path("tests") / package).rglob("test_*.py"))]
    found += [f"{test} mirrors no source" for test in mirrors if test not in wanted]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
