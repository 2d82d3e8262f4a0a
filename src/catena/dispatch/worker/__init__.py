"""The worker's side of a call: sessions, and the routines that run in them."""
