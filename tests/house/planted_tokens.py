"""The faults that the token oracle has to find, each by its title; planted.py takes them in."""

from __future__ import annotations

from tests.laws.fault import keep
from tests.laws.oracle_faults import FAULTS, Planted
from tests.laws.test_oracle import test_a_script_comes_to_what_it_comes_to_in_the_stdlib as a_script

__all__ = ["CHECKS"]

CHECKS = (a_script,)

for _name in FAULTS:
    keep(_name, Planted(_name), a_script)
