"""Files of many samples: every case is a row, with its label and its fault."""

import numpy as np
import pytest
import torch

from openjepa.data.dataset import open_dataset
from openjepa.modalities.series import Series

SERIES = Series(size=(12,), patch=(3,))


def write_ts(path, count, start=0):
    lines = ["@problemName made", "@timeStamps false", "@univariate true", "@classLabel true up down", "@data"]
    for i in range(start, start + count):
        values = np.sin(np.arange(20) / 3 + i) * (1 if i % 2 else -1)
        lines.append(",".join(f"{v:.6f}" for v in values) + f":{'up' if i % 2 else 'down'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_every_case_is_a_row_with_its_label(tmp_path):
    write_ts(tmp_path / "a.ts", 3)
    write_ts(tmp_path / "b.ts", 2, start=3)
    dataset, entries = open_dataset(str(tmp_path), SERIES)
    assert len(dataset) == 5 and not entries
    assert [dataset.name(i) for i in range(5)] == ["a.ts[0]", "a.ts[1]", "a.ts[2]", "b.ts[0]", "b.ts[1]"]
    labels = dataset.labels["class"]
    assert [labels.names[v] for v in labels.values.tolist()] == ["down", "up", "down", "up", "down"]
    first, last = dataset.read([3, 3], [0.0, 0.999])
    wanted = torch.from_numpy(np.sin(np.arange(20) / 3 + 3).astype(np.float32))
    torch.testing.assert_close(first[0], wanted[:12], atol=1e-6, rtol=0)
    torch.testing.assert_close(last[0], wanted[-12:], atol=1e-6, rtol=0)
    assert dataset.read([0])[0].shape == (1, 12)


def test_one_file_of_many_is_data_too_and_its_fingerprint_follows_it(tmp_path):
    path = write_ts(tmp_path / "a.ts", 3)
    dataset, _ = open_dataset(str(path), SERIES)
    assert len(dataset) == 3
    write_ts(tmp_path / "a.ts", 4)
    assert open_dataset(str(path), SERIES)[0].fingerprint != dataset.fingerprint


def test_what_cannot_be_used_is_told_and_the_rest_is_used(tmp_path):
    write_ts(tmp_path / "a.ts", 2)
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY nothing")
    np.save(tmp_path / "wide.npy", np.zeros((5, 40)))
    dataset, entries = open_dataset(str(tmp_path), SERIES)
    assert len(dataset) == 2
    bad = {entry.path: entry.reason for entry in entries if entry.kind == "bad"}
    assert set(bad) == {"broken.npy", "wide.npy"} and "channels" in bad["wide.npy"]


def test_nothing_usable_is_an_error_that_names_the_first(tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((5, 40)))
    with pytest.raises(ValueError, match=r"none of the 1 files holds series .*wide\.npy: 5 channels"):
        open_dataset(str(tmp_path), SERIES)


def test_folders_label_cases_that_say_nothing_themselves(tmp_path):
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "1.npy", np.arange(30.0))
    labels = open_dataset(str(tmp_path), SERIES)[0].labels["class"]
    assert labels.names == ("left", "right") and labels.values.tolist() == [0, 1]
