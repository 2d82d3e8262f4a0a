"""Errors are their facts: attributes, a text that follows from them, and pickles that keep both."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import catena
from catena import errors
from catena.events import (
    ContentionRefused,
    CredentialsFailed,
    FactoryDisplaced,
    PeerAccessRefused,
    PeerVersionRefused,
    SerializationFailed,
    announced,
)
from catena.testing import recording

WARNING = errors.SerializationWarning(key=("app", "user"), doing="read", cause="KeyError: 'x'")

FACTS: dict[type[Any], dict[str, Any]] = {
    errors.SerializationError: {
        "what": "argument 2",
        "routine": "app.job",
        "cause": "TypeError: no",
        "worker": "w1",
        "doing": "read",
    },
    errors.ChainSerializationError: {"cause": "no id", "warnings": (WARNING,), "doing": "sent"},
    errors.ChainContention: {
        "chain_id": "ab" * 16,
        "kind": "task",
        "owner_thread": 1,
        "thread": 2,
        "owner_task": "<Task a>",
        "task": "<Task b>",
    },
    errors.ContextVarCollision: {"namespace": "app", "name": "user", "declared_at": "app.py:3"},
    errors.TaskFactoryDisplaced: {"loop": "<Loop>", "factory": "<function spans>"},
    errors.NoPool: {"routine": "app.job", "reason": "the pool has ended"},
    errors.NoFittingWorker: {"routine": "app.job", "tags": ("gpu",), "known": ("cpu", "eu")},
    errors.DefaultPoolExists: {"existing": "<WorkerPool of 4 workers>"},
    errors.BlockingRefused: {"routine": "app.job"},
    errors.ForkedPool: {"opened_by": 7, "routine": "app.job"},
    errors.ForkRefused: {"variable": "GRPC_ENABLE_FORK_SUPPORT"},
    errors.PeerRefused: {"peer": "w1", "pid": 7, "reason": "it is not on the list"},
    errors.CredentialsError: {"where": "certs/key.pem", "cause": "others may read it"},
    errors.WorkerLost: {"worker": "w1", "routine": "app.job", "begun": None, "cause": "killed"},
    errors.DispatchTimeout: {"routine": "app.job", "worker": "w1", "seconds": 0.5},
    errors.Busy: {"routine": "app.job", "worker": "w1, w2", "reason": "9 calls"},
    errors.WorkerStartError: {"worker": "w1", "cause": "Traceback", "exit_code": 3},
    errors.AddressRefused: {"address": "127.0.0.1:4317", "cause": "it is in use"},
    errors.VersionRefused: {"local": "1.4", "remote": "2.0"},
    errors.ProtocolError: {"reason": "not allowed", "frame": "Next", "after": "Result"},
    errors.RemoteError: {"type_name": "app.Oops", "message": "bad", "step": "no such class"},
    errors.NoQueue: {"routine": "app.job", "reason": "it is not open"},
    errors.QueueUnreachable: {"queue": "catena", "doing": "add a task", "cause": "it is down"},
    errors.TaskRefused: {"routine": "app.job", "cause": "it is a stream"},
    errors.TaskCancelled: {"task": "invoice-7", "routine": "app.job"},
    errors.SnapshotError: {"task": "invoice-7", "fault": "missing", "cause": "it has expired"},
    errors.SerializationWarning: {"key": ("app", "user"), "doing": "sent", "cause": "TypeError"},
}
# Facts that stand in the text; each class has one of them.
TELLING = (
    "existing",
    "variable",
    "peer",
    "cause",
    "routine",
    "owner_task",
    "name",
    "remote",
    "reason",
    "message",
    "factory",
)
KINDS = [
    one
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, errors.CatenaError | errors.CatenaWarning)
]
COPIERS: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {n}": lambda one, n=n: pickle.loads(pickle.dumps(one, n)) for n in range(2, 6)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def comparable(value: Any) -> Any:
    """Return a fact so that it equals its copy: exceptions by their text."""
    if isinstance(value, tuple):
        return tuple(comparable(one) for one in value)
    return (type(value), str(value)) if isinstance(value, BaseException) else value


def made(kind: type[Any]) -> Any:
    """Return an error of the class, with every fact given."""
    return kind(**FACTS[kind]) if kind in FACTS else kind("a text", 7)


def test_every_class_is_known_here() -> None:
    """C16: each class but the two roots is constructed by its facts below."""
    assert set(KINDS) == {*FACTS, errors.CatenaError, errors.CatenaWarning}
    assert {kind.__name__ for kind in KINDS} <= set(errors.__all__)


@pytest.mark.parametrize("kind", KINDS)
def test_the_roots_are_two(kind: type[Any]) -> None:
    """C16: errors derive from CatenaError, warnings from CatenaWarning, nothing from both."""
    assert issubclass(kind, errors.CatenaError) != issubclass(kind, errors.CatenaWarning)
    assert issubclass(kind, Warning) == issubclass(kind, errors.CatenaWarning)
    assert getattr(catena, kind.__name__) is kind


def test_a_displaced_factory_is_a_runtime_error() -> None:
    """C8: code that knows nothing of Catena catches it as such."""
    assert issubclass(errors.TaskFactoryDisplaced, RuntimeError)


def test_an_expired_hand_over_is_a_timeout() -> None:
    """C16: code that knows nothing of Catena catches it as such; its text tells both cases."""
    assert issubclass(errors.DispatchTimeout, TimeoutError)
    sent = errors.DispatchTimeout(routine="app.job", worker="w1", seconds=0.5)
    unsent = errors.DispatchTimeout(routine="app.job", worker="", seconds=2)
    assert sent.text() == "worker w1 did not accept routine app.job within 0.5 s"
    assert unsent.text().endswith("accepted routine app.job within 2 s")


@pytest.mark.parametrize("how", COPIERS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_pickles_with_its_facts(kind: type[Any], how: str) -> None:
    """C16: class, attributes, notes and text are the same afterwards."""
    error = made(kind)
    error.add_note("a note")

    copied = COPIERS[how](error)

    assert type(copied) is kind
    assert str(copied) == str(error)
    assert copied.args == error.args
    assert copied.__notes__ == ["a note"]
    for name in FACTS.get(kind, {}):
        assert comparable(getattr(copied, name)) == comparable(getattr(error, name))


@pytest.mark.parametrize("kind", KINDS)
def test_the_facts_are_attributes(kind: type[Any]) -> None:
    """C16: what was given is what can be read."""
    error = made(kind)

    assert {name: getattr(error, name) for name in FACTS.get(kind, {})} == FACTS.get(kind, {})


@pytest.mark.parametrize("kind", KINDS)
def test_its_text_ends_with_the_command_that_explains_it(kind: type[Any]) -> None:
    """C16: whoever reads it in a log finds cause and remedy without a browser."""
    assert str(made(kind)).endswith(f" [catena explain {kind.__name__}]")
    assert str(made(kind)).count("catena explain") == 1


def test_a_subclass_of_a_user_is_explained_by_ours() -> None:
    """C16: the command names a class that it knows."""

    class Mine(errors.NoPool):
        """Somebody's own."""

    assert str(Mine(routine="app.job")).endswith(" [catena explain NoPool]")


@pytest.mark.parametrize("kind", KINDS)
def test_its_representation_shows_its_facts(kind: type[Any]) -> None:
    """C16: what a debugger, a log or `gather(return_exceptions=True)` prints says what happened."""
    error = made(kind)
    error.add_note("a note")

    assert repr(error).startswith(f"{kind.__name__}(")
    for name, fact in FACTS.get(kind, {}).items():
        assert f"{name}={fact!r}" in repr(error)
    assert "__notes__" not in repr(error)


@pytest.mark.parametrize("kind", FACTS)
def test_its_text_follows_from_its_facts(kind: type[Any]) -> None:
    """C16: the text is made when it is asked for, so a fact that was changed is in it."""
    error = made(kind)
    name = next(name for name in TELLING if name in FACTS[kind])

    setattr(error, name, "77.changed")

    assert "77.changed" in str(error)


@pytest.mark.parametrize("kind", FACTS)
def test_facts_are_given_by_name(kind: type[Any]) -> None:
    """C16: positional arguments are a mistake."""
    with pytest.raises(TypeError):
        kind(*FACTS[kind].values())


@pytest.mark.parametrize(
    ("begun", "words"), [(True, "had begun"), (None, "may have begun"), (False, "had not begun")]
)
def test_a_lost_worker_says_whether_the_call_had_begun(begun: bool | None, words: str) -> None:
    """D7: three answers, three texts, with worker and routine."""
    text = str(errors.WorkerLost(worker="w1", routine="app.job", begun=begun))

    assert text == f"worker w1 was lost; routine app.job {words} there [catena explain WorkerLost]"


@pytest.mark.parametrize(
    ("local", "remote", "side"),
    [("1.0", "2.0", "local"), ("2.1", "1.9", "remote"), ("10.0", "9.0", "remote")],
)
def test_a_refused_version_says_which_side_to_upgrade(local: str, remote: str, side: str) -> None:
    """V1: both versions, compared as numbers, and the side with the older one."""
    text = str(errors.VersionRefused(local=local, remote=remote))

    assert local in text
    assert remote in text
    assert f"upgrade the {side} side" in text


def test_no_pool_says_both_ways_out() -> None:
    """D4: how to open a pool, and how to run the routine here."""
    text = str(errors.NoPool(routine="app.jobs.resize"))

    assert "catena.WorkerPool(" in text
    assert "`resize.local(...)`" in text


def test_a_contention_that_cannot_be_pickled_is_pickled_by_text() -> None:
    """C9: tasks of any kind become their representation; the error here keeps the objects."""

    class Unpicklable:
        def __repr__(self) -> str:
            return "<a task>"

    task = Unpicklable()
    error = errors.ChainContention(chain_id="00", kind="task", owner_task=task, task=None)

    copied = pickle.loads(pickle.dumps(error))

    assert (copied.owner_task, copied.task) == ("<a task>", None)
    assert error.owner_task is task


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (errors.ChainContention, ContentionRefused),
        (errors.TaskFactoryDisplaced, FactoryDisplaced),
        (errors.VersionRefused, PeerVersionRefused),
        (errors.PeerRefused, PeerAccessRefused),
        (errors.CredentialsError, CredentialsFailed),
        (errors.SerializationError, SerializationFailed),
        (errors.ChainSerializationError, SerializationFailed),
    ],
)
def test_a_refusal_announces_itself(kind: type[Any], event: type[Any]) -> None:
    """The seam: `raise announced(error)` announces the error once and raises the very same."""
    error = made(kind)

    with recording() as recorded, pytest.raises(kind) as caught:
        raise announced(error)

    assert caught.value is error
    assert recorded.events == [event(error)]


def test_any_other_error_is_refused_in_silence() -> None:
    """The seam: only refusals that have an event announce themselves."""
    with recording() as recorded:
        assert isinstance(announced(made(errors.NoPool)), errors.NoPool)

    assert recorded.events == []


def test_the_install_command_is_one_constant() -> None:
    """The one command, with an extra when one is named."""
    assert errors.install_command() == errors.INSTALL
    assert "[uvloop]" in errors.install_command("uvloop")
