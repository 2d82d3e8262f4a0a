"""The systems under comparison: a client program each, and the routines beside it.

The routines live in modules of their own, so that every system sends them by name and none pays
for carrying a function of `__main__` by value.
"""
