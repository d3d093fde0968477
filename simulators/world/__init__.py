"""Scenarios with ground truth: what happens on which devices, under which faults of radio and clock, and how it is scored.

Pure generators on virtual time; only ``feed`` publishes.
"""
