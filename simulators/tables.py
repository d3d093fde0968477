"""Areas, devices and resources as the CSV that ``gridwarden import`` takes. The same records give the same bytes."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from gridwarden.model import Area, Device, Resource


def write_table(records: Sequence[Area] | Sequence[Device] | Sequence[Resource], path: Path) -> None:
    """Columns named as the fields of ``gridwarden.model``; attributes as JSON, which the import reads as it is."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(records[0])], lineterminator="\n")
        writer.writeheader()
        for record in records:
            row = asdict(record)
            if "attributes" in row:
                row["attributes"] = json.dumps(row["attributes"], ensure_ascii=False, separators=(",", ":"))
            writer.writerow(row)
