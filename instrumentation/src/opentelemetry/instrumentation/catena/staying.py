"""A handler of the root logger that configurations of logging do not see.

``logging.basicConfig`` does nothing where the root logger has a handler, and ``dictConfig`` and
``fileConfig`` take out what is there. So while they run, ours is away; afterwards it is back.
"""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Callable
from functools import wraps
from typing import Any

__all__ = ["stay"]

_ON: tuple[tuple[Any, str], ...] = (
    (logging, "basicConfig"),
    (logging.config, "dictConfig"),
    (logging.config, "fileConfig"),
)


def stay(handler: logging.Handler) -> None:
    """Put a handler on the root logger for as long as the process lives."""
    logging.getLogger().addHandler(handler)
    for module, name in _ON:
        setattr(module, name, _without(handler, getattr(module, name)))


def _without(handler: logging.Handler, configure: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(configure)
    def configuring(*args: Any, **options: Any) -> Any:
        root = logging.getLogger()
        was_there = handler in root.handlers
        root.removeHandler(handler)
        try:
            return configure(*args, **options)
        finally:
            if was_there:
                root.addHandler(handler)

    return configuring
