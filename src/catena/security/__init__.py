"""Certificates: what names they give, and an authority that issues them for development.

What stands here uses nothing of Catena but the ground floor, and opens no connection.
"""
