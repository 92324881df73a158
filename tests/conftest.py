"""Shapes in annotations are checked while tests run and cost nothing otherwise."""

import os
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook names it

install_import_hook("openjepa", "tests.typecheck.check")
torch.set_num_threads(1)  # the models of the tests are too small to share


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Real data for tests marked `data`: $OPENJEPA_DATA or ../shared/data beside the checkout."""
    root = Path(os.environ.get("OPENJEPA_DATA") or Path(__file__).parents[2] / "shared/data")
    if not root.is_dir():
        pytest.skip(f"no real data at {root}")
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("OPENJEPA_CACHE", str(tmp_path / "cache"))
