"""The integration suite while its telemetry is recorded and held against the catalog.

``python -m tests.observed`` (``make observed``) runs all of it, further words are pytest's; a part
of it is in the tests. Nothing here takes part in an ordinary run of the suite.
"""
