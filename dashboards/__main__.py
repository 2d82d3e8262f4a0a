"""Writes the boards: ``python -m dashboards``."""

from __future__ import annotations

from dashboards.overview import BOARD, text

BOARD.write_text(text(), "utf-8")
