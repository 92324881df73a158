"""Put each known fault in, alone, and see that a test catches it.

    python -m tests.faults                   all of them, on copies of the tree
    python -m tests.faults -j 2 masks ema    only faults whose name has one of the words, two at a time

Prints caught or MISSED for each and ends with 1 on a miss. The tests must pass without a fault, or
catching means nothing: that is tried first. `tests/test_faults.py` keeps the list in step with the code.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("src", "tests", "benchmarks", "docs", "examples", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "constraints.txt")
SECONDS = 900  # for the tests of one fault
# Each run is a fork of a process that has loaded what takes long to load, and nothing that is tested
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "torch.utils.data", "pytest", "hypothesis", "jaxtyping", "beartype", "PIL.Image", "cattrs"])


@dataclass(frozen=True)
class Fault:
    part: int  # of the library's outline: 1 skeleton, 2 models, 3 masks, ... 12 report, 13 other kinds of data, 14 weights of others, 15 the explorer; 0 the vocabulary and the whole
    name: str
    file: str  # below src/openjepa, or from the root with a leading /
    old: str  # occurs exactly once
    new: str
    tests: str  # what is run, below tests/, separated by blanks

    @property
    def path(self) -> Path:
        return Path(self.file[1:] if self.file.startswith("/") else f"src/openjepa/{self.file}")


# fmt: off
FAULTS = [
    Fault(0, "gather without a batch check", "tokens.py", "if len(index) != len(x):", "if False:", "test_tokens.py"),
    Fault(0, "an upward import", "tokens.py", "from torch import Tensor\n", "from torch import Tensor\n\nif False:\n    from openjepa.run import Run\n", "test_layers.py"),
    Fault(0, "positions of axes reversed", "modalities/grid.py", ".reshape(1, -1, len(grid))", ".reshape(1, -1, len(grid)).flip(-1)", "modalities/test_grid.py"),
    Fault(0, "floor division hides a remainder", "modalities/grid.py", "if any(s % p or s < p for", "if any(s < p for", "modalities/test_grid.py"),
    Fault(0, "a sample's numbers depend on its batch", "draws.py", "(np.asarray(rows, np.int64)", "(np.arange(len(rows))", "test_draws.py"),
    # 1 skeleton and documents
    Fault(1, "a document names a setting that is not there", "/docs/health.md", "--objective.target-layers 3", "--objective.layers 3", "test_docs.py::test_settings_in_documents_exist"),
    Fault(1, "a number typed into the README's table", "/README.md", "<!-- end of results -->", "| 99.9 |\n<!-- end of results -->", "test_docs.py::test_readme_table_is_made_from_results"),
    Fault(1, "the baseline of the benchmark skips the layer norm of its goals", "/benchmarks/official_step.py", "F.layer_norm(h, (h.shape[-1],))", "h", "benchmarks/test_official_step.py"),
    # 2 models
    Fault(2, "row and column swapped in the position code", "models/positions.py", "positions = positions.flip(-1)", "pass", "models"),
    Fault(2, "GELU by its tanh approximation", "models/transformer.py", "F.gelu(self.fc1(self.norm2(x.to(dtype))))", 'F.gelu(self.fc1(self.norm2(x.to(dtype))), approximate="tanh")', "models"),
    Fault(2, "attention without its scale", "models/transformer.py", "(q * (1 / math.sqrt(q.shape[-1])))", "q", "models/test_transformer.py"),
    Fault(2, "the last block's queries are the first tokens", "models/transformer.py", "q = F.linear(y[:, -last:]", "q = F.linear(y[:, :last]", "models/test_transformer.py"),
    Fault(2, "the layers of a feature are counted from the wrong end", "models/encoder.py", "if i >= len(self.blocks) - last:", "if i < last:", "models/test_transformer.py"),
    # 3 masks
    Fault(3, "I-JEPA's exclusive upper bound", "masks/blocks.py", "(u * (np.array(grid) - sides + 1))", "(u * np.maximum(np.array(grid) - sides, 1))", "masks/test_blocks.py"),
    Fault(3, "raster truncation of the context", "masks/blocks.py", 'uniform(seed, step, rows, prod(grid), "context")', "np.arange(prod(grid)) / prod(grid)", "masks/test_blocks.py"),
    Fault(3, "the masks ignore the seed", "masks/random.py", "uniform(seed, step,", "uniform(0, step,", "masks/test_random.py"),
    Fault(3, "context overlaps the targets", "masks/blocks.py", "np.put_along_axis(free, blocks.reshape(len(free), -1), False, 1)", "pass", "masks/test_blocks.py"),
    Fault(3, "the official sampler keeps a block of min_keep tokens", "masks/official.py", "if len(context) > min_keep:", "if len(context) >= min_keep - 40:", "masks/test_official.py"),
    # 4 objectives
    Fault(4, "EMA weights swapped", "models/ema.py", "list(current.parameters()), 1 - momentum)", "list(current.parameters()), momentum)", "objectives/test_jepa.py"),
    Fault(4, "the context encoder sees every patch", "objectives/jepa.py", "self.encoder(patches.take(masks.context, masks.context_valid))", "self.encoder(patches)", "objectives/test_jepa.py"),
    Fault(4, "the target encoder is trainable", "objectives/jepa.py", "copy.deepcopy(self.encoder).requires_grad_(False)", "copy.deepcopy(self.encoder)", "objectives/test_jepa.py test_engine.py"),
    Fault(4, "goals without layer norm", "objectives/jepa.py", "normed = F.layer_norm(goals.float(), goals.shape[-1:])", "normed = goals.float()", "objectives/test_jepa.py"),
    Fault(4, "the exported encoder is the context encoder", "objectives/jepa.py", "return self.target_encoder  # what", "return self.encoder  # what", "objectives/test_jepa.py test_train.py"),
    Fault(4, "MAE's pixels over a biased variance", "objectives/mae.py", "(patches.shape[-1] - 1)", "patches.shape[-1]", "objectives/test_mae.py"),
    # 5 schedules, optimizer, precision
    Fault(5, "the schedules lag one step behind", "engine.py", "set_to = self.update(norm, done)", "set_to = self.update(norm, progress)", "test_engine.py"),
    Fault(5, "biases are decayed", "engine.py", '"decayed": False, "weight_decay": 0.0}', '"decayed": True, "weight_decay": 0.0}', "test_engine.py"),
    Fault(5, "micro-batches are summed", "engine.py", "(output.loss / run.accumulate).backward()", "output.loss.backward()", "test_engine.py"),
    Fault(5, "the bfloat16 copy is not refreshed", "engine.py", "set_to |= self.objective.after_step(progress)\n        self.refresh()", "set_to |= self.objective.after_step(progress)", "test_engine.py"),
    Fault(5, "the warm-up ends in a jump", "schedules.py", "(progress - self.warmup) / rest", "progress", "test_schedules.py"),
    # 6 data
    Fault(6, "every epoch has the same order", "data/loader.py", "draws.uniform(seed, epoch,", "draws.uniform(seed, 0,", "data/test_loader.py"),
    Fault(6, "half-grey pictures are taken", "modalities/decode.py", "if longer.tobytes() != image.tobytes():", "if False:", "modalities/test_image.py"),
    Fault(6, "EXIF rotation is ignored", "modalities/decode.py", "turn = UPRIGHT.get(orientation(image))", "turn = None", "modalities/test_image.py"),
    Fault(6, "too many bad files stop nothing", "data/ledger.py", "if len(bad) > self.max_bad * self.total:", "if False:", "data/test_ledger.py"),
    Fault(6, "a crop never reaches the last row", "modalities/resize.py", "u[:, 2 * TRIES] * (rows - h + 1)", "u[:, 2 * TRIES] * (rows - h)", "modalities/test_image.py"),
    Fault(6, "the tabletop's noise is the same for every row", "data/worlds/drawing.py", "table.grain.tolist()", "(table.grain * 0).tolist()", "data/worlds/test_tabletop.py"),
    # 7 loop and checkpoints
    Fault(7, "no finite check", "engine.py", "self.bad = torch.maximum(self.bad, (~finite).float())", "pass", "test_engine.py"),
    Fault(7, "resume forgets the optimizer's moments", "train.py", "checkpoint.load_optimizer_state(objective, self.engine.optimizer, moments)", "pass", "test_resume.py"),
    Fault(7, "a checkpoint under its final name before it is whole", "checkpoint.py", "os.replace(temporary, final)", "shutil.copytree(temporary, final)", "test_checkpoint.py"),
    Fault(7, "a damaged checkpoint is loaded", "checkpoint.py", "if came != wanted:", "if False:", "test_resume.py"),
    Fault(7, "a folder in use is written over", "opening.py", "if out.exists() and (not", "if False and (not", "test_train.py"),
    Fault(7, "changed data is not noticed on resume", "opening.py", 'if before["fingerprint"] != after["fingerprint"]:', "if False:", "test_resume.py"),
    Fault(7, "the best checkpoint is deleted", "checkpoint.py", "*([max(scored, key=lambda p: scores[p])] if scored else [])", "", "test_train.py"),
    # 8 health
    Fault(8, "position collapse has no name", "health/verdict.py", "share <= 0.9 or", "True or", "test_health.py"),
    Fault(8, "position share with its small-sample bias", "health/numbers.py", "place = ((between - within) / per_place)", "place = (between / per_place)", "test_health.py"),
    Fault(8, "a run that collapsed is said to learn", "health/verdict.py", "if value.get(name, 1.0) < 0.05 * start.get(name, 0.0):", "if False:", "test_health.py"),
    # 9 probes
    Fault(9, "the untrained floor is the trained encoder", "probes/score.py", "load_encoder(folder, untrained=True)", "load_encoder(folder, step=step)", "probes/test_score.py"),
    Fault(9, "nobody hears that test pictures are in train", "probes/sides.py", "    if not count:\n", "    if True:\n", "probes/test_score.py"),
    Fault(9, "kNN centres test by its own mean", "probes/knn.py", "x, test = x - mean, test - mean", "x, test = x - mean, test - test.mean(0)", "probes/test_knn.py"),
    Fault(9, "the axes of pixels are fitted on test", "probes/sides.py", "pca = floors.pca(train.pixels.x[::stride]", "pca = floors.pca(test.pixels.x[::stride]", "probes/test_score.py"),
    Fault(9, "test labels keep their own numbers", "probes/questions.py", "table[asked.values])", "asked.values)", "probes/test_questions.py"),
    # 10 command line
    Fault(10, "help imports torch", "cli/options.py", "from tyro.conf import", "import torch  # noqa: F401\nfrom tyro.conf import", "cli/test_main.py"),
    Fault(10, "a misspelt setting is ignored", "cli/settings.py", "refuse(unknown, rest, flags(run), prog)", "pass", "cli/test_main.py cli/test_settings.py"),
    Fault(10, "run.json may hold anything", "run.py", "forbid_extra_keys=True", "forbid_extra_keys=False", "test_run.py"),
    Fault(10, "a collapse ends with 0", "cli/train.py", "        return COLLAPSED", "        return OK", "cli/test_train.py"),
    # 11 doctor
    Fault(11, "doctor does not see that position drowns the content", "doctor/advice.py", "if share > 0.6 and config.balance is None:", "if False:", "doctor"),
    Fault(11, "doctor counts masks of one step only", "doctor/masks.py", "kept += inside.sum(0)", "kept = inside.sum(0)", "doctor"),
    # 12 report
    Fault(12, "names are not escaped on the page", "report/text.py", 'return html.escape(shown.encode("utf-8", "backslashreplace").decode(), quote=True)', "return shown", "test_report.py"),
    Fault(12, "a picture is its own neighbour", "report/pictures.py", "likeness[range(len(queries)), list(queries)] = -torch.inf", "pass", "test_report.py"),
    # 13 kinds of data
    Fault(13, "a cached clip always begins at the first frame", "data/dataset.py", "self.modality.cut(self.store.sample(int(row)), float(place))", "self.modality.cut(self.store.sample(int(row)), 0.0)", "test_modalities.py"),
    Fault(13, "padding is attended to", "models/transformer.py", "return None if valid is None else (valid | ~valid.any(1, keepdim=True))[:, None, None]", "return None", "models/test_padding.py objectives/test_padded_losses.py"),
    Fault(13, "all mask configurations ask with the same token", "models/predictor.py", "self.mask_token[token : token + 1]", "self.mask_token[:1]", "objectives/test_several_masks.py"),
    Fault(13, "the conformance suite does not see a leak", "doctor/conformance.py", "both = (seen != 0) & (made_of != 0)", "both = (seen != 0) & (made_of != made_of)", "doctor/test_conformance.py"),
    Fault(13, "what is hidden is shown as context", "modalities/drawn.py", "torch.isin(self.tokens, places.cpu()) &", "torch.zeros_like(self.tokens).bool() &", "modalities/test_drawn.py"),
    Fault(13, "held-out speakers are learnt from", "data/manifest.py", "if not found.search(row.name))", "if row.name)", "data/test_manifest.py"),
    Fault(13, "views vote by their logits", "probes/attentive.py", ".log_softmax(-1).logsumexp(2) - math.log(x.views)", ".mean(2)", "probes/test_attentive.py"),
    Fault(13, "high and low bands are averaged", "modalities/audio.py", ".mean(1).flatten(1)", ".mean((1, 2))", "modalities/test_audio.py"),
    Fault(13, "instance norm looks at padding", "objectives/jepa.py", "masked_fill(~real, 0).sum(1, keepdim=True) / count", "sum(1, keepdim=True) / count", "objectives/test_jepa.py"),
    # 14 weights of others
    Fault(14, "a patch kernel keeps its channels first", "interop/layouts.py", "whole = whole.movedim(1, -1)", "pass", "interop/test_official.py"),
    Fault(14, "missing tensors pass", "interop/key_report.py", "return not (self.missing or self.unexpected", "return not (self.unexpected", "interop/test_official.py"),
    Fault(14, "the context encoder passes for the target encoder", "interop/held.py", '"target_encoder" if which == "target" else "encoder"', '"encoder"', "interop/test_official.py"),
    Fault(14, "files are opened with code in them", "interop/files.py", "weights_only=True, mmap=True", "weights_only=False, mmap=True", "interop/test_official.py"),
    Fault(14, "a start from other weights is forgotten", "train.py", "load_start(objective, self.run.init)", "pass", "interop/test_start.py"),
    Fault(14, "a frame sees the next one", "models/dynamics.py", "frame[:, None] >= frame", "frame[:, None] >= frame - 1", "models/test_dynamics.py"),
    Fault(13, "padding counts among the features that are to differ", "losses/variance.py", "real, count = valid[:, None], valid.sum()", "real, count = valid[:, None] | True, len(x)", "losses"),
    Fault(13, "the covariance of a feature with itself counts", "losses/variance.py", "(covariance.square().sum() - own.square().sum())", "covariance.square().sum()", "losses"),
    Fault(13, "padding stays among places", "probes/features.py", "tokens.masked_fill(~valid[..., None], 0).flatten(1)", "tokens.flatten(1)", "probes/test_features.py"),
    Fault(13, "fine-tuning trains the frozen encoder", "probes/finetune.py", "copy.deepcopy(bundle.encoder).requires_grad_(True)", "bundle.encoder.requires_grad_(True)", "probes/test_finetune.py"),
    Fault(13, "tokens are hidden when a fine-tuned encoder is judged", "probes/finetune.py", "if not block.training:", "if False:", "probes/test_finetune.py"),
    # 15 the explorer
    Fault(15, "the context of a strict question holds what is asked", "explore/question.py", 'if mode == "strict":', "if False:", "explore/test_question.py explore/test_prediction.py"),
    Fault(15, "a union asks twice for what two holes share", "explore/question.py", "blocks, valid = torch.cat(holes).unique()[None, None], None", "blocks, valid = torch.cat(holes)[None, None], None", "explore/test_question.py"),
    Fault(15, "the energy is not in the units of the loss", "explore/prediction.py", 'distances(guess, goals[hole], jepa.config.loss)', 'distances(guess, goals[hole], "l2")', "explore/test_prediction.py"),
    Fault(15, "references have seen the hole", "explore/prediction.py", "targets(patches.take(shown))", "targets(patches)[:, shown[0]]", "explore/test_prediction.py"),
    Fault(15, "an input is its own neighbour", "explore/bank.py", "if other != name]", "]", "explore/test_prediction.py explore/test_sketches.py"),
    Fault(15, "colours are not in standard deviations", "explore/axes.py", "return (x - self.mean) @ self.vectors / self.std", "return (x - self.mean) @ self.vectors", "explore/test_prediction.py"),
    Fault(15, "a larger share hides other patches", "explore/mae.py", "return torch.randperm(n, generator=generator)", "return torch.randperm(n)", "explore/test_mae.py"),
    Fault(15, "content moves the pixels more than noise does", "explore/noise.py", "content = content * (noises", "content = 2 * content * (noises", "explore/test_sketches.py"),
    Fault(15, "the sketch is judged on what it was fitted to", "explore/sketch.py", "goals[~judge].flatten(0, 1), patches[~judge].flatten(0, 1)", "goals.flatten(0, 1), patches.flatten(0, 1)", "explore/test_sketches.py"),
    Fault(15, "a foreign name is let in", "explore/door.py", "host not in (*LOOPBACK, *self.names)", "not host", "explore/test_server.py"),
    Fault(15, "a page of another site may ask", "explore/door.py", "if origin is not None and", "if False and origin is not None and", "explore/test_server.py"),
    Fault(15, "an old question is answered all the same", "explore/worker.py", "if self.stale(who, number):", "if False:", "explore/test_server.py"),
    Fault(15, "Nagle's delay", "explore/server.py", "socket.SOCK_STREAM, socket.IPPROTO_TCP", "socket.SOCK_STREAM", "explore/test_server.py"),
    Fault(15, "the page's types are not the server's", "explore/prediction.py", "    copy: float | None", "    copied: float | None", "explore/test_schema.py"),
]
# fmt: on


def tree(to: Path) -> Path:
    """A copy of what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules", "static"))
        else:
            shutil.copy(source, to / name)
    return to


def run(where: Path, tests: Sequence[str]) -> tuple[bool, str]:
    """Whether no test fails in that copy, and the first one that does, or pytest's last words."""
    log = where / "log.txt"
    child = CONTEXT.Process(target=pytest_in, args=(where, tests, log))
    child.start()
    child.join(SECONDS)
    if child.is_alive():
        child.kill()
        return False, f"no end within {SECONDS} s"
    lines = log.read_text().strip().splitlines()
    failed = [line.split(" - ")[0].split("::")[-1] for line in lines if line.startswith(("FAILED", "ERROR"))]
    return not failed, failed[0] if failed else lines[-1]  # no tests at all is no catch either


def pytest_in(where: Path, tests: Sequence[str], log: Path) -> None:
    """Run tests of a copy in this process, which has torch loaded and nothing of ours."""
    import pytest

    for name in [name for name in sys.modules if name.partition(".")[0] in ("openjepa", "tests", "benchmarks")]:
        del sys.modules[name]
    os.chdir(where)
    os.environ |= {"PYTHONPATH": str(where / "src"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    sys.path[:] = [
        str(where),
        str(where / "src"),
        *(path for path in sys.path if path and Path(path).resolve() not in (ROOT, ROOT / "src")),
    ]
    sys.dont_write_bytecode = True
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "--tb=no", *(f"tests/{name}" for name in tests)]))


def plant(fault: Fault, where: Path) -> None:
    path = where / fault.path
    text = path.read_text()
    assert text.count(fault.old) == 1, f"{fault.name}: {fault.old!r} stands {text.count(fault.old)} times in {fault.path}"
    path.write_text(text.replace(fault.old, fault.new))


def tried(fault: Fault) -> bool:
    """Whether the fault was caught; says so."""
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        plant(fault, tree(Path(folder)))
        passed, said = run(Path(folder), fault.tests.split())
    print(f"{'MISSED' if passed else 'caught'}  {fault.part:2}  {fault.name}  <-  {said}", flush=True)
    return not passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only faults whose name or file has one of these")
    parser.add_argument("-j", type=int, default=1, help="how many at a time")
    parser.add_argument("--trust", action="store_true", help="do not run the tests without a fault first")
    options = parser.parse_args()
    chosen = [f for f in FAULTS if not options.words or any(word.lower() in f"{f.name} {f.path}".lower() for word in options.words)]
    files = sorted({test for fault in chosen for test in fault.tests.split()})
    if not options.trust:
        with tempfile.TemporaryDirectory(prefix="fault-") as folder:
            passed, said = run(tree(Path(folder)), files)
        if not passed:
            print(f"without any fault the tests fail already: {said}")
            return 2
    with ThreadPoolExecutor(options.j) as pool:
        caught = list(pool.map(tried, chosen))
    print(f"{sum(caught)} of {len(caught)} caught")
    return 0 if all(caught) else 1


if __name__ == "__main__":
    raise SystemExit(main())
