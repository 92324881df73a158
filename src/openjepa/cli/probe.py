"""openjepa probe"""

import json
from collections.abc import Sequence

from openjepa.cli.options import ProbeOptions
from openjepa.cli.parse import parse, refuse
from openjepa.cli.train import option_flags


def command(words: Sequence[str]) -> int:
    options, unknown = parse(ProbeOptions, words, prog="openjepa probe")
    refuse(unknown, words, option_flags(ProbeOptions), "openjepa probe")
    from openjepa.cli.progress import Progress
    from openjepa.probes.attentive import Attentive
    from openjepa.probes.finetune import Finetune
    from openjepa.probes.score import probe

    with Progress(live=False, quiet=options.quiet) as progress:
        report = probe(
            options.run,
            options.data,
            options.test,
            probes=options.probes,
            labels=options.labels or None,
            pooling=options.pooling,
            layer=options.layer,
            step=options.step,
            seed=options.seed,
            clips=options.clips,
            views=options.views,
            group=options.group,
            held_out=options.held_out,
            attentive=Attentive(depth=options.attentive_depth),
            finetune=Finetune(
                steps=options.finetune_steps,
                rate=options.finetune_rate,
                masked=options.finetune_masked,
                mask_mode=options.finetune_mask_mode,
            ),
            cache=options.cache,
            device=options.device,
            on_event=progress,
        )
    print(json.dumps(report.to_dict()) if options.json else report.text())
    return 0
