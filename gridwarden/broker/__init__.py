"""The embedded broker: nats-server with its MQTT listener, as a supervised child process.

``embedded`` owns its life, ``child`` the process and the lock, ``config_file`` and ``credentials`` what it is told,
``stream`` the bound on what it stores, ``store`` what waits there, ``window`` and ``consumers`` how much of it may be on its
way to us. It speaks MQTT 3.1.1 only and takes no white space in topics.
"""

from gridwarden.broker.embedded import EmbeddedBroker

__all__ = ["EmbeddedBroker"]
