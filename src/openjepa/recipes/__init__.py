"""Recipes are values with their source and their command; results.jsonl beside them holds what they reached.

A recipe `name: Run = ...` in recipes/image.py is called "image.name". The string below it is its
description. Listing them reads the files without importing torch.
"""

import ast
import difflib
import importlib
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from openjepa.run import Run


@cache
def names() -> dict[str, str]:
    """Every recipe with its description, e.g. {"image.ijepa": "..."}."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        body = ast.parse(path.read_text()).body
        for node, after in pairwise(body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
                text = after.value.value if isinstance(after.value, ast.Constant) else ""
                found[f"{path.stem}.{node.target.id}"] = " ".join(str(text).split())
    return found


def load(name: str) -> "Run":
    """The recipe of that name. ValueError suggests the one that was meant."""
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names())}"
        raise ValueError(f"no recipe {name!r}; {hint}")
    module, _, attribute = name.partition(".")
    return cast("Run", getattr(importlib.import_module(f"openjepa.recipes.{module}"), attribute))
