"""The value of the demo's context variable: what a run tells its workers, and they tell it.

Its one rule: a state is a value; a change is a new state that the one who changed it sets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """One run: its id, the packages to leave out, and what workers have noted so far.

    ``skip`` starts with what the user left out and grows by the packages in which a worker found
    no Python file. ``files`` and ``functions`` count the files read and the functions measured by
    routines of their own, on the chain that holds this state.
    """

    run: str
    skip: frozenset[str]
    files: int = 0
    functions: int = 0

    def without(self, package: str) -> RunState:
        """This state after a package was set aside."""
        return replace(self, skip=self.skip | {package})

    def with_file(self) -> RunState:
        """This state after one more file was read."""
        return replace(self, files=self.files + 1)

    def with_function(self) -> RunState:
        """This state after one more function was measured by a routine of its own."""
        return replace(self, functions=self.functions + 1)
