"""Write the made-up district: ``python -m simulators.city OUTDIR``.

Its files are for ``gridwarden import areas``, ``basemap``, ``devices`` and ``resources``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from simulators.city.making import make
from simulators.city.writing import write


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m simulators.city", description=__doc__)
    parser.add_argument("outdir", type=Path, help="folder for the four files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=_scale, default=1.0, help="times 30,000 devices (0.01 to 10)")
    options = parser.parse_args(arguments)
    city = make(options.seed, options.scale)
    for path in write(city, options.outdir):
        sys.stdout.write(f"{path}  {path.stat().st_size / 1e6:.2f} MB\n")
    sys.stdout.write(
        f"{len(city.areas)} areas, {len(city.basemap)} pieces of map, {len(city.devices)} devices, "
        f"{len(city.resources)} resources\n"
    )


def _scale(text: str) -> float:
    scale = float(text)
    if not 0.01 <= scale <= 10:  # noqa: PLR2004 - as the help says
        raise argparse.ArgumentTypeError(f"{text}: 0.01 to 10 is expected")
    return scale


if __name__ == "__main__":
    main()
