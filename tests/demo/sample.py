"""A finished run made by hand, for the tests of what is shown."""

from __future__ import annotations

from dataclasses import replace

from catena.demo.analysis import FileRow, FunctionRow
from catena.demo.files import Problem
from catena.demo.routines import Call
from catena.demo.run import Analysis, Outcome

MEASURE = Call("measure", "C.big", "c0ffee", 12, 0.004, ())
READ = Call("read_file", "a.py", "c0ffee", 11, 0.5, ())
ANALYSIS = Analysis(
    (
        FileRow("pkg/a.py", 90, 2),
        FunctionRow("pkg/a.py", "C.big", 3, 40, 5),
        FunctionRow("pkg/a.py", "small", 50, 2, 1),
        *(Problem(f"bad{n}.py", "syntax", "line 1: no") for n in range(5)),
        Problem("x.py", "encoding", "unknown encoding: x"),
    ),
    (
        Call("list_files", "/lib", "c0ffee", 11, 0.012, ()),
        replace(READ, calls=(MEASURE,)),
        *(replace(READ, about=f"bad{n}.py", seconds=1.25) for n in range(2)),
        replace(READ, about="x.py", process=12, seconds=0.0008),
    ),
)
OUTCOME = Outcome("/lib", "c0ffee", 1.25, (11, 12), ANALYSIS, None)
