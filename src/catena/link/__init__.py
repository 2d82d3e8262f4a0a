"""Floor 4: the stream between two processes. It moves frames and knows nothing of calls.

The only sockets of the core are here.
"""

from __future__ import annotations

import os

# Before gRPC is loaded: its core would print that a peer said goodbye.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
