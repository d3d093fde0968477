"""The yardstick of ``gridwarden bench``: paho as its documentation has it, counting and acknowledging by hand.

``python -m gridwarden.cli.bench_null`` reads host, port, user, password and topic filter as one line of JSON from
standard input and prints how many messages it has acknowledged, a line each fiftieth of a second, until its input ends.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

TELL_EVERY_S = 0.02
CLIENT_ID = "gridwarden-bench-null"


class Null:
    """Counts and acknowledges."""

    def __init__(self, topic_filter: str) -> None:
        self.taken = 0
        self.subscribed = threading.Event()
        self._filter = topic_filter
        # As ours: a session that stays, so that the broker does the same for both.
        self.client = Client(CallbackAPIVersion.VERSION2, CLIENT_ID, clean_session=False, manual_ack=True)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._on_message

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(self._filter, qos=1)

    def _on_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        self.taken += 1
        client.ack(message.mid, message.qos)


def main() -> None:
    """Run until the input ends."""
    told = json.loads(sys.stdin.readline())
    null = Null(told["filter"])
    null.client.username_pw_set(told["username"], told["password"])
    null.client.connect(told["host"], told["port"])
    over = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(over,), daemon=True).start()
    threading.Thread(target=_tell, args=(null, over), daemon=True).start()
    while not over.is_set():
        null.client.loop(timeout=0.1)
    null.client.disconnect()


def _wait_for_the_end(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def _tell(null: Null, over: threading.Event) -> None:
    null.subscribed.wait()
    while not over.wait(TELL_EVERY_S):
        print(null.taken, flush=True)  # noqa: T201 - the pipe to the bench


if __name__ == "__main__":
    main()
