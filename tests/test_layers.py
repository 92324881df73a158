"""Imports point down. A new folder gets one line here or the test says so."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1] / "src/openjepa"
# What each part may import, beside itself. Nothing imports recipes but the command line and tests.
BASE = {"tokens", "schedules", "draws", "imported"}
PARTS = {"modalities", "masks"}
RUN = {"run", "objectives", "losses", "models", *PARTS, *BASE}
MAY = {
    "tokens": set(),
    "schedules": set(),
    "draws": set(),
    "imported": set(),
    "modalities": BASE,
    "masks": BASE,
    "losses": set(),
    "models": BASE,
    "objectives": {*BASE, *PARTS, "losses", "models"},
    "data": {*BASE, "modalities"},
    "run": {*BASE, *PARTS, "models", "objectives"},
    "engine": RUN,
    "metrics": RUN,
    "health": {*RUN, "metrics"},
    "frozen": RUN,
    "tensor_file": set(),
    "checkpoint": {*RUN, "frozen", "tensor_file"},
    "probes": {*BASE, "modalities", "models", "data", "run", "engine", "frozen", "checkpoint"},  # never objectives
    "interrupt": set(),
    "opening": {*RUN, "data", "checkpoint"},
    "start": {*RUN, "frozen", "checkpoint"},
    "train": {
        "interrupt",
        "opening",
        "start",
        *RUN,
        "data",
        "engine",
        "metrics",
        "health",
        "frozen",
        "checkpoint",
    },  # never probes: labels stay out
    "report": {*RUN, "data", "metrics", "health", "frozen", "checkpoint", "probes"},
    "doctor": {*RUN, "data", "engine", "metrics", "health", "frozen", "checkpoint"},
    "interop": {*RUN, "frozen", "checkpoint", "probes"},
    "recipes": RUN,
    "runs": set(),
    "explore": {
        *RUN,
        "runs",
        "data",
        "engine",
        "metrics",
        "health",
        "frozen",
        "checkpoint",
        "interop",
        "probes",
        "report",
    },  # files: never train
}
FREE = {"cli", "__init__", "__main__"}


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import; write openjepa. ..."
            if node.module == "openjepa":
                yield from (
                    f"openjepa.{alias.name}" for alias in node.names if (ROOT / alias.name).exists() or (ROOT / f"{alias.name}.py").exists()
                )
            elif (node.module or "").startswith("openjepa."):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("openjepa."))


def test_imports_point_down():
    for path in sorted(ROOT.rglob("*.py")):
        mine = path.relative_to(ROOT).with_suffix("").parts[0]
        if mine in FREE:
            continue
        assert mine in MAY, f"{path.relative_to(ROOT)} has no layer; give {mine!r} a line in this test"
        for module in imports(path):
            theirs = part(module)
            assert theirs == mine or theirs in MAY[mine], f"{path.relative_to(ROOT)} imports {module}, which {mine} may not"


def test_labels_stay_out_of_pretraining():
    """No objective, mask or batch knows the word."""
    for name in ("tokens.py", "objectives", "masks", "models", "engine.py"):
        for path in [ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py"):
            words = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
            assert not words & {"label", "labels", "LabelSet"}, path


def test_nothing_that_breaks_beside_a_cpu_torch_is_imported():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            bad = {"torchvision", "torchaudio", "torchcodec", "timm", "torchmetrics", "lightning"} & {n.split(".")[0] for n in names}
            assert not bad, f"{path} imports {bad}"
