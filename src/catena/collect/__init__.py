"""The receiver of telemetry: OTLP in, JSON lines and OpenMetrics out.

The core does not use it, and it is not a full collector: it samples nothing, changes nothing and
forwards nothing. Its one rule: whatever arrives, the next request is still served.
"""

from __future__ import annotations

from catena.errors import install_command

try:
    from catena.collect.files import LineFile
    from catena.collect.reading import Recording
    from catena.collect.receiver import Receiver, receiving
    from catena.collect.registry import Limits
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed: {install_command('collect')}", name=missing.name
    ) from None

__all__ = ["Limits", "LineFile", "Receiver", "Recording", "receiving"]
