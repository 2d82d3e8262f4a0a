"""What is bound in a Context before any chain is mounted there: the proxy, and how it came."""

from __future__ import annotations

import contextvars
from typing import Protocol

from catena.context.proxy import proxy
from catena.leases import Leases


class Way(Protocol):
    """A way to a pool, as far as it is known here."""

    @property
    def id(self) -> bytes:
        """The pool's id."""
        ...

    @property
    def leases(self) -> Leases:
        """Who holds a lease of it, by which path it came, and since when."""
        ...


class BoundProxy:
    """A proxy that a link has brought, None for none, and the ``source`` that it came by.

    ``context`` has it bound and nothing else: a call that begins without a state runs in a copy.
    ``is_used`` says whether a call of the link has had a lease of it.
    """

    def __init__(self, way: Way | None, source: str) -> None:
        self.source = source
        self.id = b"" if way is None else way.id
        self.leases = Leases() if way is None else way.leases
        self.leases.bound.add(self)
        self.is_used = False
        self.context = contextvars.Context()
        if way is not None:
            self.context.run(proxy.backing.set, way)
