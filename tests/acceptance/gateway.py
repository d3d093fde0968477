"""A gateway as a process of its own: publishes what standard input says, over TLS, and tells when it is acknowledged.

Each line is a JSON list of ``[topic, payload in hexadecimal]``; ``done`` answers it. Run by ``test_deployment.py``
inside a network of its own.
"""

from __future__ import annotations

import json
import queue
import sys

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE_S = 60


def main() -> None:
    host, port, ca_file, user, password = sys.argv[1:]
    client = Client(CallbackAPIVersion.VERSION2, client_id=user)
    client.username_pw_set(user, password)
    if ca_file:
        client.tls_set(ca_file)
    client.reconnect_delay_set(1, 1)
    acknowledged: queue.SimpleQueue[int] = queue.SimpleQueue()
    client.on_publish = lambda _client, _data, mid, *_: acknowledged.put(mid)
    client.connect(host, int(port))
    client.loop_start()
    for line in sys.stdin:
        # What is in flight when the connection breaks, or published while there is none, paho sends in the same order
        # when it is back. `wait_for_publish` would refuse the second kind though it is kept, so the answers are counted.
        waiting = {client.publish(topic, bytes.fromhex(payload), qos=1).mid for topic, payload in json.loads(line)}
        while waiting:
            waiting.discard(acknowledged.get(timeout=PATIENCE_S))
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
