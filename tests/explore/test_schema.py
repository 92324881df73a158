from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from openjepa.explore import schema

FILE = Path(schema.__file__).parent / "ui/src/lib/api.gen.ts"


def test_the_pages_types_are_the_servers():
    """Otherwise: python -m openjepa.explore.schema > src/openjepa/explore/ui/src/lib/api.gen.ts"""
    assert FILE.read_text() == schema.text()


@pytest.mark.parametrize(
    ("hint", "wanted"),
    [
        (float | None, "number | null"),
        (tuple[int, ...], "number[]"),
        (tuple[int, str], "[number, string]"),
        (list[float | None], "(number | null)[]"),
        (dict[str, float], "Record<string, number>"),
        (Literal["a", "b"], '"a" | "b"'),
        (Any, "unknown"),
    ],
)
def test_types_in_the_other_language(hint, wanted):
    assert schema.written(hint) == wanted


def test_what_json_cannot_say_is_refused():
    with pytest.raises(ValueError, match="bytes"):
        schema.written(bytes)


def test_what_has_a_default_need_not_be_asked():
    @dataclass
    class OneAsked:
        run: str
        step: int | None = None

    assert schema.declared(OneAsked) == "export type OneAsked = {\n  run: string;\n  step?: number | null;\n};\n"
