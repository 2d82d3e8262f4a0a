"""Generated from proto/catena/v1 by proto/generate.py; do not edit."""
