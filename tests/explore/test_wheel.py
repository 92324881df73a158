"""What a person gets from a package index: the page, the small models and one prediction, without Node and without a checkout."""

import json
import os
import re
import signal
import site
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from hatch_build import current
from openjepa.explore.pages import BUILT

ROOT = Path(__file__).parents[2]
LARGEST = 15e6  # bytes of the wheel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not current(ROOT) and os.environ.get("OPENJEPA_REQUIRE_UI") != "1", reason="the page is not compiled; make ui"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, with the page as it was compiled before: npm is nowhere to be found."""
    out = tmp_path_factory.mktemp("wheel")
    env = {**os.environ, "PATH": str(Path(sys.executable).parent)}
    words = ["pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(out)]
    subprocess.run([sys.executable, "-m", *words], check=True, env=env, capture_output=True, text=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """A new environment with that wheel; torch and the rest are borrowed from this one, the checkout is not."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    paths = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
    )
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    # Of a folder named in a .pth file the .pth files are not read, so the checkout's editable install stays out
    Path(paths.stdout.strip(), "lent.pth").write_text("\n".join(sorted(lent)) + "\n")
    words = ["pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", "--no-compile", str(wheel)]
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, text=True)
    return folder


@pytest.fixture(scope="module")
def served(clean):
    """The address at which the installed command serves, started in an empty folder without Node on PATH."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"PATH": str(clean / "bin"), "OMP_NUM_THREADS": "1"}
    words = [clean / "bin/openjepa", "explore", "--no-browser", "--port", "0", "--quiet"]
    process = subprocess.Popen(words, cwd=clean, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()


def fetch(url: str, body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=120) as answer:
        found: bytes = answer.read()
        return found


def test_the_wheel_holds_the_page_and_the_models_but_not_the_page_s_sources(wheel):
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        assert packed.read("openjepa/explore/static/index.html") == (BUILT / "index.html").read_bytes()
    built = {path.relative_to(BUILT).as_posix() for path in BUILT.rglob("*") if path.is_file()}
    assert built <= {name.removeprefix("openjepa/explore/static/") for name in names}
    assert any(re.fullmatch(r"openjepa/explore/bundled/[\w-]+/checkpoints/\d+/objective\.safetensors", name) for name in names)
    assert not [name for name in names if "node_modules" in name or "/ui/" in name or name.startswith("tests")]
    assert wheel.stat().st_size < LARGEST


def test_the_command_comes_from_the_wheel(clean):
    words = [clean / "bin/python", "-I", "-c", "import openjepa; print(openjepa.__file__)"]
    where = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert Path(where.strip()).resolve().is_relative_to(clean.resolve())


def test_the_page_and_all_it_links_to_load(served):
    page = fetch(served).decode()
    links = re.findall(r'(?:src|href)="\./([^"]+)"', page)
    assert 'id="app"' in page and any(link.endswith(".js") for link in links)
    assert all(fetch(served + link) for link in links)


def test_a_bundled_model_predicts(served):
    runs = {run["id"]: run for run in json.loads(fetch(f"{served}api/v1/runs"))["runs"]}
    jepa = next(run for run in runs.values() if run["objective"] == "JEPA" and run["modality"] == "images")
    assert jepa["status"] == "bundled" and runs[jepa["pair"]]["objective"] == "MAE"
    hole = {"at": [2, 3], "size": [3, 3]}
    tensors = load(fetch(f"{served}api/v1/jepa/predict", {"run": jepa["id"], "input": "data:0", "targets": [hole]}))
    hidden = torch.zeros(jepa["grid"], dtype=torch.bool)
    hidden[2:5, 3:6] = True
    assert torch.equal(tensors["energy"].isfinite(), hidden) and torch.equal(tensors["context"].bool(), ~hidden)
    painted = load(fetch(f"{served}api/v1/mae/predict", {"run": jepa["pair"], "input": "data:0", "targets": [hole]}))
    assert torch.equal(painted["hidden"].bool(), hidden)
