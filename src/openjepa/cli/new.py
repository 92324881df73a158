"""openjepa new"""

import json
import keyword
import re
from collections.abc import Sequence
from importlib.resources import files

from openjepa.cli.options import NewOptions
from openjepa.cli.parse import Usage, parse, refuse


def command(words: Sequence[str]) -> int:
    options, unknown = parse(NewOptions, words, prog="openjepa new")
    refuse(unknown, words, ["--in", "--json", "--quiet", "--debug"], "openjepa new")
    if len(options.words) != 2 or options.words[0] != "modality":
        raise Usage(
            f"new {' '.join(options.words)}".strip(), "write openjepa new modality NAME, for example openjepa new modality mysensor"
        )
    name = options.words[1]
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise Usage(f"{name!r} is no name for a Python file", "lower case letters, digits and _, beginning with a letter: mysensor")
    kind = "".join(part.capitalize() for part in name.split("_"))
    written = {}
    for template, target in (("modality.py", f"{name}.py"), ("test_modality.py", f"test_{name}.py")):
        path = options.folder / target
        if path.exists():
            raise Usage(f"{path} is there already", "choose another name, or remove it")
        text = files("openjepa.cli").joinpath("templates", template).read_text()
        written[path] = text.replace("CLASS", kind).replace("NAME", name)
    options.folder.mkdir(parents=True, exist_ok=True)
    for path, text in written.items():
        path.write_text(text)
    if options.json:
        print(json.dumps({"written": [str(path) for path in written], "modality": f"{name}:{kind}"}))
        return 0
    print("\n".join(map(str, written)))
    if not options.quiet:
        print(f"\nnext\n  openjepa doctor --modality {name}:{kind}\n  pytest test_{name}.py")
    return 0
