"""openjepa convert"""

import shlex
import sys
from collections.abc import Sequence

from openjepa.cli.options import ConvertOptions
from openjepa.cli.parse import parse, refuse
from openjepa.cli.train import option_flags


def command(words: Sequence[str]) -> int:
    options, unknown = parse(ConvertOptions, words, prog="openjepa convert")
    refuse(unknown, words, option_flags(ConvertOptions), "openjepa convert")
    from openjepa import recipes
    from openjepa.interop.convert import as_json, convert
    from openjepa.interop.families import Asked
    from openjepa.interop.hub import fetched

    names = ("family", "heads", "predictor_heads", "size", "frames", "which", "probe", "probe_heads", "classes")
    asked = Asked(**{name: getattr(options, name) for name in names})
    found = convert(
        fetched(options.source),
        options.out,
        options.to,
        asked,
        recipe=recipes.load,
        command=shlex.join(["openjepa", "convert", *words]),
        step=options.step,
    )
    if options.json:
        print(as_json(found))
        return 0
    if not options.quiet:
        if found.report is not None:
            from openjepa.interop.key_report import KeyReport

            print(KeyReport(**found.report).text(), file=sys.stderr)
        if found.difference is not None:
            print(f"read again: features differ by at most {found.difference:.2g}", file=sys.stderr)
        for note in found.notes:
            print(f"note: {note}", file=sys.stderr)
    print(found.path)
    return 0
