"""What comes in: MQTT sessions, adapters (envelopes), codecs (vendor frames), batches and dead letters."""
