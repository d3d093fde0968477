"""The control room's page. The package holds only where its built files lie; the server hands them out."""

from pathlib import Path

DIST: Path = Path(__file__).parent / "dist"
"""Made by ``npm run build``; absent in a fresh checkout."""
