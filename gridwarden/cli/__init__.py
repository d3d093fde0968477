"""The command line: parses arguments, calls the rest, prints. Exit codes: 0 ok, 1 failed, 2 wrong use."""

from gridwarden.cli.main import main

__all__ = ["main"]
