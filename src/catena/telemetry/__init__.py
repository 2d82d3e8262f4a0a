"""Telemetry: what the core announces, as spans, metrics and logs.

It begins by itself once the application has configured an OpenTelemetry SDK. ``install`` hands over
providers and options, ``uninstall`` ends it. Nothing here is imported before a pool opens.
"""

from __future__ import annotations

from catena.telemetry.switch import install, installed, uninstall

__all__ = ["install", "installed", "uninstall"]
