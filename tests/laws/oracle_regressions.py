"""Scripts that once came to something else than with the stdlib, as Hypothesis shrank them."""

from __future__ import annotations

from tests.laws.oracle_scripts import (
    Body,
    Call,
    Drive,
    Drop,
    Fail,
    Fork,
    Get,
    Mint,
    Open,
    Put,
    Reset,
    Set,
    Take,
)

__all__ = ["REGRESSIONS"]

REGRESSIONS: tuple[Body, ...] = (
    # A set where the caller's state went by its name, which takes a few calls to each worker.
    (Set(0, 0, 0), *(Call(()),) * 4, Call((Set(0, 1, 1),)), Get(0), Call((Get(0),))),
    # A token that came inside the old value of another one.
    (
        Call((Set(0, 0, 0), Put(0, 0, 2), Set(0, 1, 1)), gives=((1, "result"),)),
        Call(()),
        Reset(0),
        Take(0),
        Reset(0),
    ),
    # One inside an old value that was written before it was spent.
    (
        Set(0, 0, 0),
        Put(0, 0, 2),
        Set(0, 1, 1),
        Call((), takes=((1, "argument"),)),
        Call((Reset(0),), takes=((0, "argument"),)),
        Call((Reset(0), Take(0), Reset(0)), takes=((1, "argument"),)),
        Reset(0),
    ),
    # A stream that sent the id of a token long before the token came.
    (
        Open(0, ((Call((Set(0, 0, 0),), gives=((0, "result"),)),), (Fail((0,)),))),
        Drive(0),
        Drive(0, "throw"),
        Reset(0),
    ),
    # One that gives a token back which its driver has let go of.
    (
        Set(0, 0, 0),
        Open(0, ((), ()), takes=((0, "argument"),), gives=((0, "yield"),)),
        Drive(0),
        Drop(0),
        Drive(0),
        Reset(0),
    ),
    # Contexts of a stream that another chain drives meanwhile: of a token that has crossed, of one
    # from a step without a chain, and of one that its caller has let go of.
    (
        Set(1, 0, 7),
        Open(0, ((Mint(0, 0, 0),), (), (Reset(0),))),
        Drive(0),
        Fork((Drive(0),)),
        Drive(0),
    ),
    (
        Open(0, ((Set(0, 0, 0),), (), (Reset(0),))),
        Drive(0),
        Fork((Drive(0),)),
        Drive(0),
    ),
    (
        Set(0, 1, 1),
        Open(0, ((), (), (Reset(0),)), takes=((0, "argument"),)),
        Drive(0),
        Drop(0),
        Fork((Drive(0),)),
        Drive(0),
    ),
    # A token from a Context in which a task began later.
    (Fork((Call((Reset(0),), takes=((0, "argument"),)),), None, (Set(0, 1, 0),)),),
)
