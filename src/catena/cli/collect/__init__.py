"""``catena collect``: receive telemetry, keep it as lines, show its metrics."""
