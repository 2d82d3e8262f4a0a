"""Logging for applications that use Catena: JSON and console configurations, the audit switch."""

from __future__ import annotations

from catena.telemetry.logging import (
    audit,
    configure_console,
    configure_json,
    console_handler,
    json_handler,
)

__all__ = ["audit", "configure_console", "configure_json", "console_handler", "json_handler"]
