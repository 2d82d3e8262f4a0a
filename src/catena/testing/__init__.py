"""The test kit for applications: record the events that the core announces."""

from __future__ import annotations

from catena.testing.record import Recording, recording

__all__ = ["Recording", "recording"]
