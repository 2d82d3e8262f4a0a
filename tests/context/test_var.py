"""Variables: their identity, when they arm a context, and how they may and may not travel."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import pickle
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

import catena
from catena.context import registry
from catena.context.chain import current
from catena.context.var import receive_variable
from catena.dispatch.payloads import LENIENT
from catena.transfer.capture import capture_drive
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.transfer.mount import mount
from tests.support import LOOPS, isolated, run, variable

ID = bytes(range(16))
COPIERS: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {n}": lambda one, n=n: pickle.dumps(one, n) for n in range(6)},
    "cloudpickle": cloudpickle.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy inside": lambda one: copy.deepcopy([{"in": one}]),
}


def declared_in(module: str, **names: Any) -> str:
    """Return the namespace of a variable that a module of that name declares."""
    source = "import catena\nnamespace = catena.ContextVar('declared').namespace\n"
    scope = {"__name__": module, **names}
    exec(source, scope)  # a module's top level, with the globals that are its subject
    return scope["namespace"]


# ---- identity


@pytest.mark.parametrize(
    ("module", "namespace"),
    [
        ("app", "app"),
        ("app.models.user", "app"),
        ("__main__", "__main__"),
        ("__mp_main__", "__main__"),
    ],
)
def test_the_namespace_is_the_top_level_package(module: str, namespace: str) -> None:
    """C2: the namespace defaults to the top-level package of the declaring module."""
    assert declared_in(module) == namespace


@pytest.mark.parametrize("module", ["__main__", "__mp_main__"])
def test_a_main_module_with_a_spec_counts_under_its_own_name(module: str) -> None:
    """C2: what was started with `python -m` has the namespace that importing it would give."""
    assert declared_in(module, __spec__=SimpleNamespace(name="app.tool.__main__")) == "app"


def test_a_subscripted_class_declares_in_the_same_namespace() -> None:
    """C2: `ContextVar[int](name)` belongs to the module that wrote it."""
    assert catena.ContextVar[int]("subscripted").namespace == "tests"


def test_a_namespace_may_be_given() -> None:
    """C2: the key is (namespace, name)."""
    var: catena.ContextVar[int] = catena.ContextVar("given", namespace="elsewhere")

    assert (var.namespace, var.name, var.key) == ("elsewhere", "given", ("elsewhere", "given"))


def test_a_second_live_declaration_of_a_key_collides() -> None:
    """C2: the collision names the key and where the living one was declared."""
    first = variable()

    with pytest.raises(catena.ContextVarCollision) as caught:
        catena.ContextVar(first.name, namespace=first.namespace)

    assert (caught.value.namespace, caught.value.name) == first.key
    assert "support.py:" in caught.value.declared_at


def test_equal_names_in_two_namespaces_are_two_variables() -> None:
    """C2: the namespace keeps equal names apart, their values too."""
    one: catena.ContextVar[int] = catena.ContextVar("same", namespace="one")
    two: catena.ContextVar[int] = catena.ContextVar("same", namespace="two")

    contextvars.Context().run(one.set, 1)

    assert one is not two
    assert two.get(None) is None


def test_a_collected_variable_frees_its_key() -> None:
    """C2: the registry is weak, also when the variable had a value in a Context that is gone."""
    var = variable()
    key = var.key
    contextvars.Context().run(var.set, 1)
    del var
    gc.collect()

    assert registry.find(key) is None
    assert catena.ContextVar(key[1], namespace=key[0]).get("none") == "none"


def test_a_bound_variable_lives_as_long_as_its_chain() -> None:
    """C2, C3: a Context that binds a variable keeps it, so that its value can still be sent."""
    context = contextvars.Context()
    var = variable()
    key = var.key
    context.run(var.set, 1)
    del var
    gc.collect()

    assert registry.find(key) is not None


def test_threads_that_declare_one_key_get_one_variable() -> None:
    """C2: of declarations at the same time one succeeds, the others collide."""
    start = threading.Barrier(8)
    kept: list[Any] = []

    def declare() -> None:
        start.wait(10)
        try:
            kept.append(catena.ContextVar("raced", namespace="threads"))
        except catena.ContextVarCollision as error:
            kept.append(error)

    threads = [threading.Thread(target=declare) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sum(isinstance(one, catena.ContextVar) for one in kept) == 1
    assert len(kept) == 8


def test_an_unknown_policy_is_refused() -> None:
    """C13: propagate is "both" or "forward"; anything else fails at declaration."""
    with pytest.raises(ValueError, match="'back'"):
        variable(propagate="back")


# ---- arming


@isolated
def test_get_does_not_arm() -> None:
    """C4: reading a default leaves the context unarmed: no chain, nothing to capture."""
    assert variable(default=1).get() == 1
    assert current.get() is None
    assert capture_drive(LENIENT, None) is None


@isolated
def test_the_first_set_arms_and_later_ones_stay_on_the_chain() -> None:
    """C4: the first set mints the chain id, which later sets and resets keep."""
    var = variable()

    token = var.set(1)
    chain = current.get()
    assert chain is not None
    var.reset(token)
    var.set(2)

    assert len(chain.id) == 16
    assert current.get().id == chain.id  # type: ignore[union-attr]


@pytest.mark.parametrize("loop", LOOPS)
def test_an_unarmed_context_has_no_guard_and_no_factory(loop: str) -> None:
    """C4: a stateless scope reads a default in a plain thread and leaves the loop alone."""
    var = variable(default="d")

    async def main() -> tuple[Any, Any]:
        return await asyncio.to_thread(var.get), asyncio.get_running_loop().get_task_factory()

    assert run(main(), loop=loop) == ("d", None)


# ---- with


@isolated
def test_a_token_is_a_context_manager() -> None:
    """C14: leaving the block undoes the set, and the block gets the token."""
    var = variable(default=0)

    with var.set(1) as outer, var.set(2):
        assert var.get() == 2
        assert isinstance(outer, catena.Token)
    assert var.get() == 0
    assert outer.used


@isolated
def test_an_error_in_the_block_passes_and_the_value_is_restored() -> None:
    """C14: the block's own error comes out unchanged."""
    var = variable()

    with pytest.raises(KeyError, match="mine"), var.set(1):
        raise KeyError("mine")
    assert var.get(None) is None


@isolated
def test_leaving_a_block_whose_token_was_used_fails() -> None:
    """C14, T2: as with 3.14's own tokens, a token that was reset in the block is used."""
    var = variable()

    with pytest.raises(RuntimeError, match="has already been used once"), var.set(1) as token:
        var.reset(token)


# ---- pickling


@pytest.mark.parametrize("how", COPIERS)
@isolated
def test_a_variable_is_neither_pickled_nor_copied(how: str) -> None:
    """C11: the refusal names the dispatch path."""
    with pytest.raises(TypeError, match="dispatch"):
        COPIERS[how](variable())


@pytest.mark.parametrize("how", COPIERS)
@isolated
def test_a_token_is_neither_pickled_nor_copied(how: str) -> None:
    """C11: the refusal names the dispatch path."""
    with pytest.raises(TypeError, match="dispatch"):
        COPIERS[how](variable().set(1))


def test_a_variable_arrives_as_the_registered_object() -> None:
    """C11: through Catena's serializer, inside containers and closures too, it is the same one."""
    var = variable(default=[1], propagate="forward")

    (arrived,), function = LENIENT.loads(LENIENT.dumps(([var], lambda: var)))

    assert arrived is var
    assert function() is var


def test_a_variable_whose_default_cannot_be_pickled_arrives_all_the_same() -> None:
    """C11: the default only serves those who never declare the variable."""
    var = variable(default=threading.Lock())

    assert LENIENT.loads(LENIENT.dumps(var)) is var


# ---- stubs


def unheard(name: str) -> registry.Key:
    """Return a key that nobody has declared."""
    return ("stubs", name)


def test_a_stub_becomes_the_declared_variable() -> None:
    """C12: the declaration is the same object, and its explicit default and policy win."""
    key = unheard("promoted")
    stub = receive_variable(key, "travelled", "both")

    declared = catena.ContextVar("promoted", namespace="stubs", default="own", propagate="forward")

    assert declared is stub
    assert (declared.get(), declared.propagate) == ("own", "forward")
    with pytest.raises(catena.ContextVarCollision):
        catena.ContextVar("promoted", namespace="stubs")


def test_a_declaration_without_a_default_has_the_one_that_travelled() -> None:
    """C12: the stub's default stays when the declaration has none."""
    stub = receive_variable(unheard("kept"), "travelled", "both")

    declared: catena.ContextVar[str] = catena.ContextVar("kept", namespace="stubs")

    assert declared is stub
    assert declared.get() == "travelled"


@isolated
def test_a_late_declaration_reads_the_value_that_travelled() -> None:
    """C12: the value waits in the chain for its declaration."""
    entry = Entry(unheard("late"), EntryKind.VALUE, LENIENT.dumps(7), default=LENIENT.dumps(1))
    mount(ChainManifest(ID, entries=LENIENT.pack([entry])), LENIENT, to_worker=True)
    gc.collect()

    declared: catena.ContextVar[int] = catena.ContextVar("late", namespace="stubs", default=2)

    assert declared.get() == 7
    assert contextvars.Context().run(declared.get) == 2


@isolated
def test_a_stub_is_relayed_with_its_policy_and_its_default() -> None:
    """C12, V2: a key that nobody declares here goes on as it came."""
    entry = Entry(unheard("relay"), EntryKind.VALUE, LENIENT.dumps(7), True, LENIENT.dumps(1))
    block = LENIENT.pack([entry])
    mount(ChainManifest(ID, entries=block), LENIENT, to_worker=True)

    sent = capture_drive(LENIENT, None)

    assert sent is not None
    assert LENIENT.unpack(sent.manifest.entries) == (entry,)


@isolated
def test_the_default_of_the_declaration_travels_from_then_on() -> None:
    """C12: a stub that was sent on before its declaration is not sent on with the old default."""
    stub = receive_variable(unheard("corrected"), "old", "both")
    stub.set(1)
    capture_drive(LENIENT, None)
    declared = catena.ContextVar("corrected", namespace="stubs", default="new")
    declared.set(2)

    sent = capture_drive(LENIENT, None)

    assert sent is not None
    (entry,) = LENIENT.unpack(sent.manifest.entries)
    assert LENIENT.loads(entry.default) == "new"


def test_a_stub_that_nobody_holds_is_dropped() -> None:
    """C12: a key that is never declared goes with its chain."""
    key = unheard("never")
    block = LENIENT.pack([Entry(key, EntryKind.VALUE, LENIENT.dumps(7))])
    contextvars.Context().run(mount, ChainManifest(ID, entries=block), LENIENT, to_worker=True)
    gc.collect()

    assert registry.find(key) is None
