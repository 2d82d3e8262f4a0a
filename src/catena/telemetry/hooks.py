"""Hooks: what an application wants done to the span of a call when it begins."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span

__all__ = ["Hook"]

_log = logging.getLogger("catena")


class Hook:
    """Calls ``hook(span, event)`` for spans that are recorded.

    A hook that raises is logged once and not called again; the call and its span go on.
    """

    def __init__(self, hook: Callable[[Span, Any], object]) -> None:
        self._hook: Callable[[Span, Any], object] | None = hook

    def __call__(self, span: Span, event: Any) -> None:
        """Let the application look at a call that begins."""
        if self._hook is None:
            return
        try:
            self._hook(span, event)
        except Exception:
            self._hook = None
            _log.exception("a hook raised and is not called again")
