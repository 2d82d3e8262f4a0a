"""The caller's side of a call: connections to workers, calls, streams and their bounds."""
