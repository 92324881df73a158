"""Worlds made by arithmetic: exact labels, no download. `open_world("tabletop?noise=.5&seed=1")` opens one by name."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches

from openjepa.data.worlds.motion import Motion
from openjepa.data.worlds.soundscape import Soundscape
from openjepa.data.worlds.tabletop import Tabletop

World = Tabletop | Motion | Soundscape


def open_world(spec: str) -> World:
    """The world that `spec` describes: a name and settings, as in 'world:tabletop?noise=.5&size=32x48'.

    What is not said keeps its default. Raises ValueError that names the wrong world, setting or value.
    """
    name, _, query = spec.removeprefix("world:").partition("?")
    if name not in WORLDS:
        raise ValueError(f"no world {name!r}{_hint(name, WORLDS)}; there is: {', '.join(WORLDS)}")
    world = WORLDS[name]
    settings: dict[str, object] = {}
    for part in filter(None, query.split("&")):
        key, equals, text = part.partition("=")
        known = {field.name: type(field.default) for field in fields(world)}
        if key not in known:
            raise ValueError(f"no setting {key!r} of world {name!r}{_hint(key, known)}; there are: {', '.join(known)}")
        if not equals:
            raise ValueError(f"setting {key!r} of world {name!r} has no value; write {key}=...")
        if key in settings:
            raise ValueError(f"setting {key!r} is given twice in {spec!r}; keep one")
        settings[key] = _parse(key, text, known[key])
    return world(**settings)  # type: ignore[arg-type]  # _parse made each value the type of the field's default


def _parse(key: str, text: str, kind: type) -> object:
    parse, wanted = _KINDS[kind]
    try:
        return parse(text)
    except ValueError:
        raise ValueError(f"{key}={text!r} is not {wanted}; write for example {key}={_EXAMPLES[kind]}") from None


def _size(text: str) -> tuple[int, int]:
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2:
        raise ValueError(text)
    return sides[0], sides[-1]


def _hint(wrong: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(wrong, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _switch(text: str) -> bool:
    try:
        return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


WORLDS: dict[str, type[World]] = {"tabletop": Tabletop, "tabletop-motion": Motion, "soundscape": Soundscape}
_KINDS: dict[type, tuple[Callable[[str], object], str]] = {
    bool: (_switch, "true or false"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    tuple: (_size, "a size in pixels"),
}
_EXAMPLES: dict[type, str] = {bool: "true", int: "100", float: "0.5", tuple: "32x48"}
