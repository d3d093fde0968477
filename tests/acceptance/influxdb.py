"""In InfluxDB's place, as a process of its own: takes what Gridwarden writes, and tells at the end what it has.

Run by ``test_deployment.py`` inside a network of its own. A line on standard input ends it; its last words are a JSON
list of ``[device, time in ms, number, entitled]``, one for each reading.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from tests.gridwarden.history.influx_stand_in import Server, StandIn

PORT = 8086
BUCKET = "gridwarden"


def readings(memory: StandIn) -> list[tuple[str, int, int | None, bool]]:
    stored = memory.buckets.get(BUCKET, {})
    numbers = {(key._replace(field=""), at_ns): number for key, values in stored.items() if key.field == "meta.seq"
               for at_ns, number in values.items()}  # fmt: skip
    return [(key.device, at_ns // 10**6, numbers.get((key._replace(field=""), at_ns)), key.measurement == "readings")
            for key, values in stored.items() if key.field == "meta.rx_delay_ms" for at_ns in values]  # fmt: skip


def main() -> None:
    memory = StandIn()
    memory.token = Path(sys.argv[1]).read_text().strip()
    memory.strict, memory.keeps_s = True, {BUCKET: 401 * 86_400}
    with Server(memory, PORT) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.readline()
        server.shutdown()
    sys.stdout.write(json.dumps(readings(memory)))


if __name__ == "__main__":
    main()
