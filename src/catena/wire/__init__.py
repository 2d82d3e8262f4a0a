"""Frames: as values, as bytes, and which frame may follow which.

No sockets and no event loop here: everything takes values and returns values.
"""
