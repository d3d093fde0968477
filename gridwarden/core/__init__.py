"""Core: sessions, rules, the transaction. Nothing else runs here, so that no browser and no query delays an alarm."""
