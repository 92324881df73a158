"""Settings by path: words to a Run, a Run to the words that give it back, and the list of all of them."""

import inspect
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from openjepa.cli.parse import Usage, near, parse, refuse, unjoin
from openjepa.imported import imported
from openjepa.modalities.modality import Modality
from openjepa.run import Run, leaves

ON, OFF = ("on", "true", "yes", "1"), ("off", "false", "no", "0")


def apply(run: Run, words: Sequence[str], prog: str) -> Run:
    """`run` with the settings that `words` name by path. Usage names the word that does not fit.

    Where a setting may be one of several classes, `--objective.masks.kind Random` takes another with
    its defaults; its settings can follow. Switches take on and off, too.
    """
    run, rest = with_kinds(run, [part for word in words for part in unjoin(word)])
    rest = with_switches(run, rest)
    changed, unknown = parse(Run, rest, prog=prog, default=run)
    refuse(unknown, rest, flags(run), prog)
    return changed


def flags(run: Run) -> list[str]:
    """Every word that sets something in `run`."""
    return [f"--{path}" for path in leaves(run)] + [f"--{path}.kind" for path in choices(run)]


def name(path: str) -> str:
    """A path as people type it."""
    return "--" + path.replace("_", "-")


# -- a modality of the user's


def own_modality(spec: str) -> Modality:
    """The modality that module:object names; a class stands for itself with its defaults. Usage says what is wrong."""
    try:
        found = imported(spec, here=True)
    except ValueError as error:
        raise Usage(f"--modality {error}", "a class or an object of a Modality of yours is wanted, mysensor:MySensor") from error
    found = found() if isinstance(found, type) else found
    if not isinstance(found, Modality):
        raise Usage(f"--modality {spec} is a {type(found).__name__}", "a subclass of openjepa.modalities.modality.Modality is wanted")
    return found


# -- one of several classes


def choices(config: object, prefix: str = "") -> dict[str, dict[str, type]]:
    """Paths where one of several dataclasses may stand, with those classes by name."""
    found: dict[str, dict[str, type]] = {}
    hints = get_type_hints(type(config))
    for f in fields(config):  # type: ignore[arg-type]
        value = getattr(config, f.name)
        if is_dataclass(value):
            classes = [c for c in get_args(hints[f.name]) if isinstance(c, type) and is_dataclass(c)]
            if get_origin(hints[f.name]) in (Union, UnionType) and len(classes) > 1:
                found[prefix + f.name] = {c.__name__: c for c in classes}
            found |= choices(value, f"{prefix}{f.name}.")
    return found


def with_kinds(run: Run, words: Sequence[str]) -> tuple[Run, list[str]]:
    """Exchange classes named by --<path>.kind, outer ones first, and return the other words."""
    asked: dict[str, str] = {}
    rest: list[str] = []
    it = iter(words)
    for word in it:
        if word.startswith("--") and word.endswith(".kind"):
            asked[word[2:-5].replace("-", "_")] = next(it, "")
        else:
            rest.append(word)
    for path in sorted(asked, key=lambda p: p.count(".")):
        there = choices(run)
        if path not in there:
            raise Usage(f"no option {name(path)}.kind", near(f"{name(path)}.kind", [f"{name(p)}.kind" for p in there]))
        if asked[path] not in there[path]:
            raise Usage(f"{name(path)}.kind is {asked[path]!r}; it must be one of {', '.join(there[path])}", near(asked[path], there[path]))
        run = exchange(run, path.split("."), there[path][asked[path]]())
    return run, rest


def exchange(config: Any, path: list[str], value: object) -> Any:
    """A copy of a tree of dataclasses with another value at `path`."""
    first, *rest = path
    return replace(config, **{first: exchange(getattr(config, first), rest, value) if rest else value})


def with_switches(run: Run, words: Sequence[str]) -> list[str]:
    """--a.flip off as --a.no-flip, the form that tyro reads."""
    switches = {f"--{path}".replace("_", "-") for path, value in leaves(run).items() if isinstance(value, bool)}
    out: list[str] = []
    for word in words:
        before = out[-1].replace("_", "-") if out else ""
        if before in switches and word.lower() in (*ON, *OFF):
            out[-1] = before if word.lower() in ON else negated(before)
        else:
            out.append(word)
    return out


def negated(flag: str) -> str:
    """--a.flip to --a.no-flip."""
    path, _, last = flag[2:].rpartition(".")
    return f"--{path + '.' if path else ''}no-{last}"


# -- a run as words


def command(recipe: str, base: Run, run: Run, out: Path | None = None, modality: str | None = None) -> list[str]:
    """The shortest command that trains `run`: what differs from its recipe, and where to write.

    `modality` is what --modality named.
    """
    words = ["openjepa", "train", recipe]
    if modality:
        words += ["--modality", modality]
        base = replace(base, modality=own_modality(modality))
    if run.init:
        from openjepa.start import adopt

        words += ["--init", run.init]
        base = adopt(base, run.init)
    words += changes(base, run)
    return [*words, "--out", str(out)] if out else words


def changes(base: Run, run: Run) -> list[str]:
    """Words that turn `base` into `run`."""
    words: list[str] = []
    for path, kind in kinds(run).items():
        if kinds(base).get(path) is not kind:
            base = exchange(base, path.split("."), kind())
            words += [f"{name(path)}.kind", kind.__name__]
    old = leaves(base)
    for path, value in leaves(run).items():
        if path not in old or value != old[path]:
            words += said("--data" if path == "data.path" else name(path), value)
    return words


def kinds(run: Run) -> dict[str, type]:
    """The class at each place where there is a choice, outer places first."""
    return {path: type(at(run, path)) for path in choices(run)}


def at(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = getattr(config, part)
    return config


def said(flag: str, value: Any) -> list[str]:
    """One setting as words."""
    if isinstance(value, bool):
        return [flag if value else negated(flag)]
    if isinstance(value, tuple):
        return [flag, *map(str, value)]
    text = str(value)
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]


# -- all settings


@dataclass(frozen=True)
class Setting:
    path: str
    value: Any
    recipe: Any  # what the recipe has there; "absent" where it has another class
    about: str  # the comment beside the field

    @property
    def changed(self) -> bool:
        return bool(self.value != self.recipe)

    def __str__(self) -> str:
        return shlex.join(said(name(self.path), self.value))


def listing(run: Run, base: Run) -> list[Setting]:
    """Every setting of `run` beside its recipe's, classes included."""
    old = leaves(base) | {f"{path}.kind": kind.__name__ for path, kind in kinds(base).items()}
    now: dict[str, Any] = {}
    about = {f"{path}.kind": " or ".join(classes) for path, classes in choices(run).items()}
    for path, value in leaves(run).items():
        for place, kind in kinds(run).items():
            if path.startswith(f"{place}.") and f"{place}.kind" not in now:
                now[f"{place}.kind"] = kind.__name__
        now[path] = value
    about |= dict(described(run))
    return [Setting(path, value, old.get(path, "absent"), about.get(path, "")) for path, value in now.items()]


def described(config: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(path, comment) of every field in a tree of dataclasses."""
    for f in fields(config):  # type: ignore[arg-type]
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from described(value, f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, next((c[f.name] for c in map(comments, type(config).__mro__) if f.name in c), "")


@cache
def comments(kind: type) -> dict[str, str]:
    """The comment behind each field of a class, from its source."""
    if not is_dataclass(kind):
        return {}
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):  # no source: an installation of compiled files
        return {}
    return {m[1]: m[2] for m in re.finditer(r"^    (\w+): [^#\n]*#\s*(.+)$", source, re.MULTILINE)}
