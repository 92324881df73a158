"""openjepa <command>: finds the command, turns its errors into two lines and an exit code."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module

from openjepa import __version__

COMMANDS = {
    "train": "pretrain an encoder on a folder of images, videos or sounds, or go on with a run",
    "probe": "score a frozen encoder beside chance, pixels and its untrained self",
    "runs": "list runs, or show one",
    "doctor": "look at machine, data, masks, memory and speed before spending anything",
    "convert": "take in weights of others, or write ours in their form",
    "report": "write report.html of a run",
    "explore": "see what a model predicts, live in the browser",
    "new": "write a commented template: new modality NAME",
}
OK, FAILED, USAGE, COLLAPSED, INTERRUPTED = 0, 1, 2, 3, 130

HELP = f"""openjepa {__version__}: self-supervised learning by predicting the missing part

usage: openjepa COMMAND ...

{chr(10).join(f"  {name:8} {about}" for name, about in COMMANDS.items())}

  openjepa doctor image.ijepa --data ./photos
  openjepa train image.ijepa --data ./photos --out runs/a
  openjepa probe runs/a --data ./labelled --test ./labelled_test

`openjepa COMMAND --help` lists the options of one command.
Results go to stdout, progress and errors to stderr.
Exit codes: 0 ok, 1 failed, 2 usage or bad input, 3 collapsed (with --fail-on-collapse), 130 interrupted and saved."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if words is None else words)
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP)
        return OK
    if words[0] in ("--version", "-V"):
        print(f"openjepa {__version__}")
        return OK
    debug = "--debug" in words
    try:
        return find(words[0])(words[1:])
    except SystemExit as stopped:  # tyro printed help
        return stopped.code if isinstance(stopped.code, int) else OK
    except BrokenPipeError:  # the reader of stdout left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        say("interrupted", "")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the border to the shell: whatever it is, it becomes two lines and a code
        if debug:
            traceback.print_exc()
        return tell(error)


def find(word: str) -> Callable[[Sequence[str]], int]:
    """The command of that name."""
    from openjepa.cli.parse import Usage, near

    if word not in COMMANDS:
        raise Usage(f"no command {word!r}", near(word, COMMANDS) or f"there are {', '.join(COMMANDS)}")
    command: Callable[[Sequence[str]], int] = import_module(f"openjepa.cli.{word}").command
    return command


def tell(error: Exception) -> int:
    """Print an error and give its exit code: 2 for what the user can change in the command or data, else 1."""
    text = str(error) or type(error).__name__
    hint = getattr(error, "hint", None)
    if hint is None:
        text, hint = parts(text)
    if "OutOfMemory" in type(error).__name__ or "allocate memory" in text:
        text, hint = (
            text.splitlines()[0],
            "a step needs more memory than there is: --accumulate 2 (or more) splits the batch, same mathematics",
        )
    if isinstance(error, ValueError):
        say(text, hint)
        return USAGE
    if isinstance(error, OSError | ArithmeticError | MemoryError | RuntimeError):
        say(text, hint)
    else:
        say(f"{type(error).__name__}: {text}", "this is a mistake in openjepa; run again with --debug and report what it prints")
    return FAILED


def parts(text: str) -> tuple[str, str]:
    """An error as (what, what to change): behind a list its last line, in one line what follows the first semicolon."""
    head, line, last = text.rpartition("\n")
    if line and not last.startswith(" "):
        return head, last
    what, _, change = text.partition("; ")
    return (text, "") if "\n" in what or line else (what, change)


def say(text: str, hint: str) -> None:
    print(f"error: {text}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
