"""The bases of the errors and warnings of ``catena.errors``: facts, and a text made from them."""

from __future__ import annotations

from typing import Any

INSTALL = "pip install ."
"""The one install command, run in a checkout: nothing is published yet."""


def install_command(extra: str = "") -> str:
    """Return the command that installs Catena, with an extra when one is named."""
    return f"pip install '.[{extra}]'" if extra else INSTALL


OURS = "catena.errors"
"""Where the classes are that ``catena explain`` knows."""


class Facts:
    """What errors and warnings share: facts as attributes, a derived text, pickling by facts."""

    args: tuple[Any, ...]

    def text(self) -> str:
        """The sentence that the facts make, without the command that explains it."""
        return " ".join(str(arg) for arg in self.args)

    def __str__(self) -> str:
        ours = next(one for one in type(self).__mro__ if one.__module__ == OURS)
        return f"{self.text()} [catena explain {ours.__name__}]"

    def __repr__(self) -> str:
        facts = [repr(arg) for arg in self.args]
        for name, fact in self.__dict__.items():
            if not name.startswith("_") and name != "value":
                facts.append(f"{name}={fact!r}")
        return f"{type(self).__name__}({', '.join(facts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild_error, (type(self), self.args), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)


class CatenaError(Facts, Exception):
    """Base class of every error that Catena itself raises."""

    __module__ = OURS


def rebuild_error(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """Return an error without its facts, which are set afterwards."""
    return kind.__new__(kind, *args)


def show_task(task: object) -> str:
    """Return the representation of a task, which it is already once the error was pickled."""
    return task if isinstance(task, str) else repr(task)


def numbers_of(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, so that it can be compared."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
