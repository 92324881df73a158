"""Words to dataclasses with tyro, and its complaints to one line and a hint."""

import contextlib
import difflib
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import tyro

T = TypeVar("T")
BOX = re.compile(r"[╭╮╰╯│]")
RULER = re.compile(r"[─-]{2,}")
SAY = (  # what Python says of a wrong value, and what we say
    (re.compile(r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)"), r"\1 is \2; it must be a whole number"),
    (re.compile(r"Error parsing (\S+): could not convert string to float: (.*)"), r"\1 is \2; it must be a number"),
    (
        re.compile(r"Error parsing (\S+): no type matching .* could be instantiated from \['(.*?)'\].*<class 'int'>.*"),
        r"\1 is '\2'; it must be a whole number",
    ),
    (
        re.compile(r"Error parsing (\S+): no type matching .* could be instantiated from \['(.*?)'\].*<class 'float'>.*"),
        r"\1 is '\2'; it must be a number",
    ),
    (re.compile(r"Missing value for argument '([^']+)'\. Expected (\d+) values\."), r"\1 has too few values; it takes \2"),
    (re.compile(r"Missing from .*?: (--)?([\w.-]+) .*"), r"\1\2 is missing; see --help"),
    (re.compile(r"Error parsing \S+: (.*)"), r"\1"),
)


class Usage(ValueError):
    """A command that cannot be meant as it stands."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


def unjoin(word: str) -> list[str]:
    """--a.b=4 as two words; a value that begins with - stays joined."""
    name, equals, value = word.partition("=")
    return [name, value] if equals and name.startswith("--") and not value.startswith("-") else [word]


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words for the command itself, and settings by path (--a.b and what follows it)."""
    own: list[str] = []
    by_path: list[str] = []
    to = own
    for word in words:
        if word.startswith("-") and not number(word):
            to = by_path if word.startswith("--") and "." in word.partition("=")[0] else own
        to.append(word)
    return own, by_path


def number(word: str) -> bool:
    """-1 and -1e-3 are values, not options."""
    return re.fullmatch(r"-\.?\d.*", word) is not None


def parse(
    kind: type[T], words: Sequence[str], *, prog: str, default: T | None = None, description: str | None = None
) -> tuple[T, list[str]]:
    """The dataclass filled from `words`, and the words that name none of its fields. Usage says which value is wrong.

    With `default` its values and, where a field takes one of several classes, its classes stay.
    Raises SystemExit(0) after printing help.
    """
    said = io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default, "add_help": False}
    markers = (tyro.conf.AvoidSubcommands,) if default is not None else (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=list(words), prog=prog, description=description, return_unknown_args=True, config=markers, **options)
    except SystemExit as stopped:
        if not stopped.code:
            raise
    found = complaint(said.getvalue())
    flag = str(found).removesuffix(" is missing")
    for word in words if flag.startswith("--") and flag != str(found) else ():  # what is missing is often there, misspelt
        name = word.partition("=")[0]
        if name.startswith("--") and name != flag and difflib.get_close_matches(name, [flag], 1, 0.7):
            raise Usage(f"no option {name}", f"did you mean {flag}?")
    raise found


def complaint(box: str) -> Usage:
    """tyro's framed message as an error of ours. Without UTF-8 its frame is of other characters."""
    lines = [" ".join(BOX.sub("", line).split()) for line in box.splitlines()[1:]]
    while lines and (not lines[0] or RULER.fullmatch(lines[0])):
        del lines[0]
    end = next((i for i, line in enumerate(lines) if RULER.fullmatch(line)), len(lines))
    text = " ".join(filter(None, lines[:end])) or " ".join(box.split())
    if text.startswith("invalid choice"):
        value, flag, *choices = re.findall(r"'([^']*)'", text)
        choices = [choice for choice in choices if choice != "None"]
        return Usage(f"{flag} is {value!r}; it must be one of {', '.join(choices)}", near(value, choices))
    for pattern, ours in SAY:
        if pattern.fullmatch(text):
            text = pattern.sub(ours, text)
            break
    what, _, change = text.partition("; ")
    return Usage(what, change)


def near(word: str, known: Iterable[str]) -> str:
    """did you mean ...?, or nothing when nothing is close."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else ""


def refuse(unknown: Sequence[str], words: Sequence[str], flags: Iterable[str], prog: str) -> None:
    """Usage for the first of `unknown`; nothing when there is none."""
    if not unknown:
        return
    word = unknown[0]
    if not word.startswith("-"):
        at = list(words).index(word) if word in words else 0
        before = f" after {words[at - 1]!r}" if at else ""
        raise Usage(f"unexpected {word!r}{before}", f"see {prog} --help")
    name = word.partition("=")[0]
    known = {flag.replace("_", "-"): flag for flag in flags}
    asked = name.replace("_", "-")
    # A path is often right in its last part and wrong before it
    same_end = [flag for flag in known if flag.rpartition(".")[2].lstrip("-") == asked.rpartition(".")[2].lstrip("-")]
    hint = near(asked, known) if not same_end else f"did you mean {' or '.join(sorted(same_end)[:3])}?"
    raise Usage(f"no option {name}", hint or f"see {prog} --help")
