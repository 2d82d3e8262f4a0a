"""Fixtures of the folder."""

from __future__ import annotations

from tests.integration.programs import scratch_home

__all__ = ["scratch_home"]
