"""The truth: core's own file. Intake blocks, rule state, alarms, grid events, journal, ledger.

Core alone writes it, one transaction per batch; web reads it. Everything else follows from here.
"""
