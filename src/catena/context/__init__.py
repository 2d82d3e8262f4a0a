"""Chains, variables and tokens: what is bound where, and who may change it.

Nothing here opens a socket or pickles.
"""
