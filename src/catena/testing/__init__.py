"""The test kit for applications: record what the seam announces, connect ends without sockets."""

from __future__ import annotations

from catena.testing.record import Recording, recording

__all__ = ["Recording", "recording"]
