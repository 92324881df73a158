"""What is on disk is whole: a reader sees the old state or the new one, never half of either."""

import os
from pathlib import Path

import pytest
import torch

from openjepa import checkpoint
from openjepa.engine import parameter_groups
from tests.tiny import RUN


def stopped(*what: object) -> None:
    raise OSError("stopped before the rename")


def test_a_file_whose_writing_stops_early_keeps_its_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(OSError, match="before the rename"):
        checkpoint.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_whose_writing_stops_early_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    objective = RUN.objective.build(RUN.modality)
    optimizer = torch.optim.AdamW(parameter_groups(objective), lr=1.0, fused=True)
    first = checkpoint.save_checkpoint(tmp_path, 5, objective, optimizer, {})
    files, folders = os.replace, [path.name for path in tmp_path.rglob("*")]

    def replace(source: Path, target: Path) -> None:
        (stopped if source.is_dir() else files)(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="before the rename"):
        checkpoint.save_checkpoint(tmp_path, 10, objective, optimizer, {})
    assert [path.name for path in tmp_path.rglob("*")] == folders
    assert checkpoint.last_whole(tmp_path) == (first, [])
