"""The planted faults fit the code as it is; `python -m tests.faults` plants them."""

import ast

import pytest

from tests.faults import FAULTS, ROOT, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted(fault: Fault):
    text = (ROOT / fault.path).read_text()
    assert text.count(fault.old) == 1, f"{fault.old!r} must stand exactly once in {fault.path}"
    planted = text.replace(fault.old, fault.new)
    assert planted != text
    if fault.path.suffix == ".py":
        ast.parse(planted)  # a fault that cannot be imported would be caught by anything
    for name in fault.tests.split():
        assert (ROOT / "tests" / name.split("::")[0]).exists(), name


def test_every_part_has_a_fault_and_every_fault_a_name():
    assert {fault.part for fault in FAULTS} == set(range(16))
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
