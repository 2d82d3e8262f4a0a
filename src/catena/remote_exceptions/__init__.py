"""Exceptions as bytes: taken apart into rows, put together again, and compared."""
