"""The variable of the proxy: by which way the calls of the current scope reach their pool.

Theory of operation. The proxy is one more variable of the context, under a key that is the same in
every process, and it goes to workers as an entry of the manifest: so nested calls find the pool.

- To bind it sets its backing alone. It has no token, is in no chain's state and arms nothing, and
  whoever reads the backing asks no guard. It goes forward only: no answer has it.
- A link leads to one pool, so the entry is the same for all its calls. The first call brings it;
  the receiver keeps the *root*, the state in which the proxy is bound and nothing else, under the
  number that is the call's base. All later calls build on that number, as on any named state:
  those of a chain, and those without one, which say nothing else.
- Peers that do not say that they read it there get it in the fields of the Task, as in 0.1.0.
- The receiver looks for it once, when a call is accepted: first among the entries, then in the
  fields. The table of the process makes a handle of it, which connects when it is first needed.
- The call holds a lease of the handle from its mount to its unmount, however it ends. A proxy that
  is leased, or has calls of its own under way, is neither closed nor forgotten.
"""

from __future__ import annotations

from typing import Any

from catena.context.var import ContextVar

PROXY_KEY = ("catena", "proxy")

proxy: ContextVar[Any] = ContextVar(
    PROXY_KEY[1], namespace=PROXY_KEY[0], default=None, propagate="forward"
)
"""What calls go through; None where nothing is bound."""
