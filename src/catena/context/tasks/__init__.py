"""The task factory that gives each created task a chain of its own, and what may displace it."""
