"""A whole installation as one folder, and back: taking, verifying, restoring.

The order makes it whole: the history first, at an offset h, then the records, which keep every block after h meanwhile.
What the history lacks it follows after a restore, as after any other pause.
"""
