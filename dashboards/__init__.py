"""Boards for Grafana and alerts for Prometheus.

``grafana/`` holds the boards as JSON. ``python -m dashboards`` writes them from the catalog; a test
says that they are current. ``prometheus/`` holds the rules and their unit tests for promtool.
"""
