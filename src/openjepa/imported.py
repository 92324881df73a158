"""Things named in words: "module:object", in settings, in run.json and in tables of kinds."""

import os
import sys
from importlib import import_module
from operator import attrgetter
from typing import Any


def imported(spec: str, here: bool = False) -> Any:
    """The object that "module:object" names; `here` looks for the module in the working folder, too.

    ValueError, beginning with `spec`, says what is wrong with it.
    """
    module, colon, name = spec.partition(":")
    if not (colon and module and name):
        raise ValueError(f"{spec!r} names nothing to import; write module:object, for example mynet:build for what mynet.py calls build")
    if here and (folder := os.getcwd()) not in sys.path:
        sys.path.insert(0, folder)
    try:
        return attrgetter(name)(import_module(module))
    except (ImportError, AttributeError) as error:
        where = "in this folder or on PYTHONPATH" if here else "on PYTHONPATH"
        raise ValueError(f"{spec} cannot be imported ({error}); the file must lie {where}") from error
