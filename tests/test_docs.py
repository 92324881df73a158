"""Documents say what is true: commands run, links and names exist, README's table is results.jsonl's."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import results
from openjepa import recipes
from openjepa.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
# A page's commands run in order in one empty folder; `# exit N` is the code they end with
CONSOLE = {str(p.relative_to(ROOT)): re.findall(r"^\$ (openjepa .*)$", p.read_text(), re.MULTILINE) for p in PAGES}
EXIT = re.compile(r"\s+# exit (\d+)$")


@pytest.mark.parametrize("page", [name for name, lines in CONSOLE.items() if lines])
def test_commands_of_a_page_run(page: str, tmp_path: Path):
    environment = os.environ | {"OPENJEPA_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT / "src")}
    for line in CONSOLE[page]:
        wanted = int(found[1]) if (found := EXIT.search(line)) else 0
        words = shlex.split(EXIT.sub("", line))[1:]
        done = subprocess.run([sys.executable, "-m", "openjepa", *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == wanted, f"{line}\n{done.stdout}\n{done.stderr}"


def commands() -> list[str]:
    """Other openjepa commands that stand in a block of code."""
    fenced = [block for p in PAGES for block in re.findall(r"^```(\w*)\n(.*?)^```", p.read_text(), re.MULTILINE | re.DOTALL)]
    blocks = [block for language, block in fenced if not language]
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("openjepa ")]


@pytest.mark.parametrize("line", commands())
def test_commands_that_take_too_long_parse(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Every option is known: what is refused is only the data and run folders, which are not there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("openjepa.explore.server.serve", lambda *folders, **options: None)  # else it would serve until interrupted
    main(shlex.split(line)[1:])
    said = capsys.readouterr().err
    assert (
        re.search(r"error: (no folder or tar|no folder runs|no run folder|no file or folder|--modality .*No module named 'mysensor')", said)
        or not said
    ), said


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_recipes_page_names_every_recipe_and_no_other():
    named = set(re.findall(r"`((?:image|video|audio|series|explore)\.\w+)`", (ROOT / "docs/recipes.md").read_text()))
    assert named == set(recipes.names())


def test_settings_in_documents_exist():
    """Every --setting.by.path in the documents can be set in some recipe."""
    from openjepa.cli.settings import flags

    known = {flag.replace("_", "-") for name in recipes.names() for flag in flags(recipes.load(name))}
    extra = ["--objective.masks.count", "--objective.masks.scale", "--objective.masks.ratio", "--objective.masks.kind"]
    extra += [f"--objective.encoder.{name}" for name in ("kind", "module", "takes")]  # of OwnEncoder
    for page in PAGES:
        for flag in re.findall(r"--\w+\.[\w.-]+\w", page.read_text()):
            assert flag in known or flag in extra, f"{page.name}: {flag}"


@pytest.mark.parametrize("phrase", re.findall(r"^\| (.+?) \|", (ROOT / "docs/errors.md").read_text().partition("|---|")[2], re.MULTILINE))
def test_errors_in_the_catalogue_are_raised_somewhere(phrase: str):
    """The words between the gaps of each error stand, in this order, in one file of the source."""
    parts = [re.escape(part.strip()) for part in phrase.replace("'...'", "...").replace("--...", "...").split("...") if part.strip()]
    pattern = re.compile(".{0,120}?".join(parts))
    assert any(pattern.search(" ".join(path.read_text().split())) for path in (ROOT / "src").rglob("*.py")), phrase


@pytest.mark.parametrize("document", [results.README, results.EVERY], ids=lambda path: path.name)
def test_readme_table_is_made_from_results(document):
    assert results.with_table(document) == document.read_text(), "python -m benchmarks.results table --write"


def test_python_in_documents_is_what_the_package_offers():
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for module, names in re.findall(r"^from (openjepa[\w.]*) import (.+)$", block, re.MULTILINE):
                for name in names.split(", "):
                    assert hasattr(__import__(module, fromlist=[name]), name), f"{page.name}: {module}.{name}"
            compile(block, page.name, "exec")
