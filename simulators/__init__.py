"""What stands in for the district: recorded data played again, and made-up devices with known incidents.

Publishes over MQTT like any gateway would and never imports ``ingest``, so that the two cannot share a mistake.
"""
