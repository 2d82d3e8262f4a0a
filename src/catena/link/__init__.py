"""The stream between two processes. It moves frames and knows nothing of calls.

The only sockets of the core are here.
"""
