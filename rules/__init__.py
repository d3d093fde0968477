"""What is wrong, for how long: rules over readings, and the life of their alarms. Pure but for ``load``."""
