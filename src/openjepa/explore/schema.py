"""The page's types, made from the server's: `python -m openjepa.explore.schema > src/openjepa/explore/ui/src/lib/api.gen.ts`.

Every dataclass that a panel's module defines, and every other that one of these holds. A test says whether the file is current.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from openjepa.explore.routes import Upload
from openjepa.explore.server import MODULES

HEAD = "// Made by `python -m openjepa.explore.schema` from the server's dataclasses; do not edit.\n"
PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "unknown", object: "unknown"}


def text() -> str:
    """The whole file."""
    found = dict[str, type]()
    for kind in defined():
        collect(kind, found)
    return HEAD + "".join("\n" + declared(kind) for _, kind in sorted(found.items()))


def defined() -> Iterator[type]:
    """Dataclasses of the modules that answer, and those of other modules that they name as ANSWERS."""
    for name in MODULES:
        module = import_module(f"openjepa.explore.{name}")
        yield from getattr(module, "ANSWERS", ())
        yield from (kind for kind in vars(module).values() if is_dataclass(kind) and getattr(kind, "__module__", "") == module.__name__)  # type: ignore[misc]


def collect(hint: Any, found: dict[str, type]) -> None:
    """`hint` and all dataclasses inside it, by name. ValueError where two share one."""
    for part in get_args(hint):
        collect(part, found)
    if not (isinstance(hint, type) and is_dataclass(hint)) or hint is Upload:
        return
    if found.setdefault(hint.__name__, hint) is not hint:
        raise ValueError(
            f"two dataclasses of answers are called {hint.__name__}: {found[hint.__name__].__module__} and {hint.__module__}; rename one"
        )
    for inside in get_type_hints(hint).values():
        collect(inside, found)


def declared(kind: type) -> str:
    """One type."""
    hints, asked = get_type_hints(kind), kind.__name__.endswith("Asked")
    lines = []
    for field in fields(kind):
        optional = asked and (field.default is not MISSING or field.default_factory is not MISSING)
        lines.append(f"  {field.name}{'?' if optional else ''}: {written(hints[field.name])};\n")
    return f"export type {kind.__name__} = {{\n{''.join(lines)}}};\n"


def written(hint: Any) -> str:
    """A type as TypeScript writes it. ValueError for what JSON cannot say."""
    if hint in PLAIN:
        return PLAIN[hint]
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(f'"{word}"' if isinstance(word, str) else str(word) for word in inside)
    if origin in (Union, types.UnionType):
        return " | ".join(written(part) for part in inside)
    if origin is tuple and inside[-1] is not Ellipsis:
        return "[" + ", ".join(written(part) for part in inside) + "]"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        item = written(inside[0])
        return f"({item})[]" if "|" in item else f"{item}[]"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"Record<{written(inside[0])}, {written(inside[1])}>"
    if isinstance(hint, type) and is_dataclass(hint):
        return hint.__name__
    raise ValueError(f"{hint!r} has no TypeScript; use numbers, texts, lists and dataclasses in answers")


if __name__ == "__main__":
    print(text(), end="")
