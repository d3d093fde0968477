"""Tests mirror the sources: ``ingest/codecs/x.py`` has ``tests/ingest/codecs/test_x.py``.

Exceptions stand here by name, with the reason. Migrations are run from nothing to the newest by the tests of
their database.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

WITHOUT_TEST = {
    "gridwarden/records/statements.py": "statements only; every test of the writer runs them",
    "gridwarden/errors.py": "names only; every raise is tested where it happens",
    "gridwarden/model.py": "fields only; every user of them is a test",
    "gridwarden/quieting.py": "fields only; tests/rules/test_quiet.py is what they mean",
}

TESTED_WITH = {
    "tests/acceptance/test_demo.py": ["gridwarden/cli/instance.py"],
    "tests/api/test_app.py": [f"api/{name}.py" for name in ("guard", "page", "problems", "services")],
    "tests/api/test_auth.py": [f"api/{name}.py" for name in ("alarms", "events", "places", "platform", "wire")],
    "tests/api/test_stream.py": [f"api/{name}.py" for name in ("frames", "subscriptions", "whereabouts")],
    "tests/faults/test_supervisor.py": ["gridwarden/part.py"],
    "tests/gridwarden/test_broker_embedded.py": [
        f"gridwarden/broker/{name}.py" for name in ("child", "probe", "stream")
    ],
    "tests/gridwarden/test_broker_store.py": ["gridwarden/broker/consumers.py"],
    "tests/gridwarden/backup/test_verifying.py": [
        f"gridwarden/backup/{name}.py" for name in ("check_history", "check_records", "faults")
    ],
    "tests/gridwarden/cli/test_backtest.py": ["gridwarden/cli/backtest_work.py"],
    "tests/gridwarden/records/test_damage.py": [
        f"gridwarden/records/{name}.py" for name in ("log", "marker", "standing")
    ],
    "tests/gridwarden/cli/test_rulebook.py": ["api/explanation.py"],
    "tests/gridwarden/cli/test_main.py": [
        "gridwarden/cli/play.py",
        "gridwarden/cli/local.py",
        "gridwarden/cli/output.py",
    ],
    "tests/gridwarden/history/test_duckdb.py": [
        f"gridwarden/history/{name}.py" for name in ("columns", "layout", "names", "queries", "sealing")
    ],
    "tests/gridwarden/office/test_accounts.py": ["gridwarden/office/credentials.py"],
    "tests/gridwarden/office/test_importing.py": [
        f"gridwarden/office/{name}.py" for name in ("rows", "sources", "staging")
    ],
    "tests/gridwarden/office/test_migrate.py": ["gridwarden/office/schema.py"],
    "tests/gridwarden/web/test_service.py": ["gridwarden/web/absent.py"],
    "tests/rules/test_correlate.py": [f"rules/{name}.py" for name in ("circles", "members", "standing")],
    "tests/rules/test_script.py": ["rules/script_words.py"],
    "tests/ingest/test_session.py": ["ingest/mqtt.py", "ingest/transport.py"],
}
"""Modules that are parts of one thing and are tested through it: the test, and what it covers besides its own."""


def is_bare(path: Path) -> bool:
    """Whether a module defines nothing: a package's docstring, version or list of names."""
    tree = ast.parse(path.read_text("utf-8"))
    return not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in ast.walk(tree))


def is_excepted(source: Path) -> bool:
    """Whether the module is named in ``WITHOUT_TEST`` or ``TESTED_WITH``, or is a step of a database's migration."""
    covered = {name for names in TESTED_WITH.values() for name in names}
    return str(source) in WITHOUT_TEST or str(source) in covered or "migrations" in source.parts


def tests_of(source: Path) -> list[Path]:
    """Where the test of ``source`` may lie: in the same folder under tests/, or one up with the folder's name in its own.

    A package's own code (``__init__.py``) is tested under the package's name.
    """
    folder, name = Path("tests") / source.parent, source.stem.strip("_")
    if source.stem == "__init__":
        return [folder / f"test_{folder.name}.py", folder.parent / f"test_{folder.name}.py"]
    return [folder / f"test_{name}.py", folder.parent / f"test_{folder.name}_{name}.py"]


def main(packages: list[str]) -> int:
    """Print every source without its test and every exception without its source; 1 if there is one."""
    sources = sorted(path for package in packages for path in Path(package).rglob("*.py"))
    found = [
        f"{source} has no {tests_of(source)[0]}"
        for source in sources
        if not any(test.exists() for test in tests_of(source)) and not is_excepted(source) and not is_bare(source)
    ]
    named = [*WITHOUT_TEST, *TESTED_WITH, *(name for names in TESTED_WITH.values() for name in names)]
    found += [f"exception for {name}, which does not exist" for name in named if not Path(name).exists()]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
