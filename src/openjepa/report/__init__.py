"""report.html of a run: one file that needs nothing else, no script, no request."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openjepa import checkpoint
from openjepa.metrics import read_metrics
from openjepa.report import gallery, sections
from openjepa.report.probes import probe_tables
from openjepa.report.style import CSS
from openjepa.report.text import safe

# Nothing in the page may run or fetch, whatever a file name or a label says
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run folder, by default to report.html in it, and return its path.

    ValueError when `folder` is not a run. Images and weights that are missing are said so in their place.
    """
    page = render(Path(folder))
    path = Path(out) if out else Path(folder) / "report.html"
    checkpoint.write_atomic(path, page.encode())
    return path


def render(folder: Path) -> str:
    """The whole page."""
    run = checkpoint.load_run(folder)
    info, rows = run.info, read_metrics(folder / "metrics.jsonl")
    name = run.path.resolve().name
    parts = [
        ("curves", "Curves", "Dotted: the untrained encoder, line 0 of the metrics.", sections.curves(rows)),
        ("verdicts", "Verdict by step", "What the health numbers said while it trained.", sections.verdicts(rows)),
        ("health", "What the verdict rests on", "", sections.health_table(rows)),
        (
            "probes",
            "Frozen encoder against its floors",
            "A score means something beside chance, raw pixels and the untrained encoder.",
            probe_tables(folder),
        ),
        *figures(run),
        ("ledger", "Files not used", "", sections.ledger(read_lines(folder / "ledger.jsonl"), *sections.counted(info))),
        ("reproduce", "Run it again", "", sections.reproduce(info, run.path)),
    ]
    body = "".join(
        f"<section><h2 id={key}>{title}</h2>{f'<p class=lead>{lead}</p>' if lead else ''}{html}</section>"
        for key, title, lead, html in parts
    )
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _, _ in parts)
    head = sections.header(info, name, rows, parameters(run))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{safe(name)} · openjepa</title><style>{CSS}</style></head>'
        f'<body><main><header>{head}<nav aria-label="Sections">{links}</nav></header>{body}'
        f"<footer>openjepa {safe(info.get('versions', {}).get('openjepa', ''))} · {safe(run.path)}</footer></main></body></html>\n"
    )


def figures(run: checkpoint.RunFolder) -> list[tuple[str, str, str, str]]:
    """The three figures made of samples, or why they cannot be made."""
    opened: list[gallery.Looked] = []

    def shown(figure: Callable[[gallery.Looked], str]) -> str:
        if not opened:
            opened.append(gallery.Looked.at(run))
        return figure(opened[0])

    wanted: list[tuple[str, str, str, Callable[[gallery.Looked], str]]] = [
        ("masks", "What was asked", "Masks on the run's own samples, as the first step draws them.", gallery.masks),
        (
            "maps",
            "What features see",
            "The first three principal components of token features as red, green and blue. Smooth gradients that ignore the picture are position; patches of one colour that follow things are content.",
            gallery.feature_maps,
        ),
        ("alike", "What is alike", "Nearest neighbours of a few samples, by mean-pooled features and by raw values.", gallery.alike),
    ]
    return [(key, title, lead, gallery.attempt(lambda f=figure: shown(f))) for key, title, lead, figure in wanted]  # type: ignore[misc]


def parameters(run: checkpoint.RunFolder) -> int | None:
    """Of the encoder; None while there is no checkpoint."""
    try:
        return sum(p.numel() for p in checkpoint.load_encoder(run.path, untrained=True).encoder.parameters())
    except (ValueError, OSError):
        return None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Objects of a JSONL file; none if there is no file. A line cut by a crash is left out."""
    found = []
    for text in path.read_bytes().splitlines() if path.exists() else []:
        try:
            value = json.loads(text)
        except ValueError:
            continue
        found += [value] if isinstance(value, dict) else []
    return found
