"""openjepa report"""

import json
from collections.abc import Sequence

from openjepa.cli.options import ReportOptions
from openjepa.cli.parse import parse, refuse
from openjepa.cli.train import option_flags


def command(words: Sequence[str]) -> int:
    options, unknown = parse(ReportOptions, words, prog="openjepa report")
    refuse(unknown, words, option_flags(ReportOptions), "openjepa report")
    from openjepa import report

    path = report.write(options.run, options.out)
    print(json.dumps({"report": str(path)}) if options.json else path)
    return 0
