"""What was defined here is never changed by what arrives, and is recognised when it comes back."""

from __future__ import annotations

import gc
import threading
from typing import Any

from catena.pickling import origins, pickler
from tests.pickling.elsewhere import Elsewhere, elsewhere, in_main

__all__ = ["elsewhere"]

CONFIG = """
log = []
class Config:
    debug = False
    def note(self):
        log.append(self.debug)
        return len(log)
def make():
    return Config()
def read():
    return Config.debug
def change():
    Config.debug = "there"
"""


def test_an_instance_that_comes_back_changes_nothing_here(elsewhere: Elsewhere) -> None:
    """D3: the class, its attributes and the globals of its methods stay the caller's own."""
    script = in_main(CONFIG)
    config = script["Config"]
    before = dict(vars(config))
    data = pickler.dumps((script["make"], ()))
    config.debug = True

    there = elsewhere.call(pickler.loads, data)
    made = elsewhere.call(script["make"])

    assert type(made) is config
    assert there[0] is script["make"]
    assert config.debug is True
    assert all(vars(config)[name] is before[name] for name in ("note", "__dict__"))
    assert made.note() == config().note() - 1 == 1
    assert script["log"] == [True, True]


def test_a_class_is_elsewhere_what_it_was_when_its_definer_sent_it_last(
    elsewhere: Elsewhere,
) -> None:
    """D3: changed here, it is changed there with the next sending; changed there, never here."""
    script = in_main(CONFIG)
    config = script["Config"]
    assert elsewhere.call(script["read"]) is False
    config.debug = 5
    assert elsewhere.call(script["read"]) == 5
    elsewhere.call(script["change"])
    assert config.debug == 5
    assert elsewhere.call(script["read"]) == 5


def test_only_the_definer_changes_a_class_that_is_known(elsewhere: Elsewhere) -> None:
    """D3: an older copy that reaches a worker by way of another one is not taken for news."""
    script = in_main(CONFIG)
    with Elsewhere() as another:
        stale = another.call(lambda make: pickler.dumps(make()), script["make"])
        script["Config"].debug = "new"
        elsewhere.call(script["read"])

        kind = elsewhere.call(lambda data: type(pickler.loads(data)).debug, stale)

    assert kind == "new"


def test_a_function_that_comes_back_is_the_own_one(elsewhere: Elsewhere) -> None:
    """D3: with its globals and its closure, and without what was set on its copy."""
    script = in_main("count = 0\ndef bump():\n    global count\n    count += 1\n    return count\n")

    def counter() -> Any:
        n = 0

        def step() -> int:
            nonlocal n
            n += 1
            return n

        return step

    def tagged(function: Any) -> Any:
        function.tag = function()
        return function

    step = counter()
    for function in (script["bump"], step):
        assert elsewhere.call(tagged, function) is function
        assert not hasattr(function, "tag")
        assert (function(), function()) == (1, 2)
    assert script["count"] == 2


def test_what_is_defined_there_is_one_class_here(elsewhere: Elsewhere) -> None:
    """D5: instances of one class that arrive one after the other have one class."""

    def define() -> Any:
        class Made:
            def __init__(self, n: int) -> None:
                self.n = n

        return [pickler.dumps(Made(n)) for n in (1, 2)]

    first, second = (pickler.loads(one) for one in elsewhere.call(define))
    assert (first.n, second.n) == (1, 2)
    assert type(first) is type(second)


def test_nothing_is_kept_of_what_is_gone() -> None:
    """D3: the registry holds nothing alive, and loses an entry with its object."""

    def define() -> bytes:
        class Gone: ...

        return pickler.dumps([Gone, lambda: Gone])

    gc.collect()
    before = len(origins._by_address), len(origins._by_id)
    for _ in range(10):
        define()
    gc.collect()
    assert (len(origins._by_address), len(origins._by_id)) == before


def test_a_metaclass_that_resists_comparison_is_not_asked(elsewhere: Elsewhere) -> None:
    """D3: classes are known by identity."""
    script = in_main(
        "class Meta(type):\n"
        "    def __eq__(cls, other): raise ValueError('eq')\n"
        "    def __hash__(cls): raise ValueError('hash')\n"
        "class Odd(metaclass=Meta):\n    x = 1\n"
    )
    assert elsewhere.call(lambda kind: kind, script["Odd"]) is script["Odd"]


def test_threads_that_read_a_new_class_get_one(elsewhere: Elsewhere) -> None:
    """D3: whoever is quicker makes it, and none sees it half-made."""

    def define() -> bytes:
        class New:
            x = 1

        return pickler.dumps(New())

    for _ in range(5):
        data = elsewhere.call(define)
        start = threading.Barrier(4)
        found: list[Any] = []

        def read(data: bytes = data, start: Any = start, found: list[Any] = found) -> None:
            start.wait(10)
            one = pickler.loads(data)
            found.append((type(one), one.x))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(found) == 4
        assert len({kind for kind, _ in found}) == 1
        assert {x for _, x in found} == {1}


def test_an_object_that_nobody_can_refer_to_weakly_is_a_copy(elsewhere: Elsewhere) -> None:
    """D3: it cannot be recognised, so another one of its class arrives."""
    script = in_main(
        "class Mark:\n    __slots__ = ()\n    def __reduce__(self): return 'MARK'\nMARK = Mark()\n"
    )
    back = elsewhere.call(lambda one: one, script["MARK"])
    assert type(back) is script["Mark"]
    assert back is not script["MARK"]
