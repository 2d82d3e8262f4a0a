"""OpenTelemetry for Catena: ``CatenaInstrumentor`` and what goes with it.

``opentelemetry-instrument python app.py`` finds it by itself. In code::

    from opentelemetry.instrumentation.catena import CatenaInstrumentor

    CatenaInstrumentor().instrument()
"""

from __future__ import annotations

from opentelemetry.instrumentation.catena.bridge import SpanEventHandler
from opentelemetry.instrumentation.catena.instrumentor import CatenaInstrumentor
from opentelemetry.instrumentation.catena.streams import not_catena

__all__ = ["CatenaInstrumentor", "SpanEventHandler", "not_catena"]
