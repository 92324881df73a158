import json
import math

import numpy as np
import pytest
import torch

from openjepa.metrics import MetricsWriter, read_metrics


def test_what_is_written_reads_back_and_numbers_that_json_cannot_hold_become_null(tmp_path):
    with MetricsWriter(tmp_path / "metrics.jsonl") as writer:
        writer.write({"step": 1, "loss": torch.tensor(0.5), "health/std": float("nan"), "lr": np.float32(0.25), "verdict": "learning"})
        writer.write({"step": 2, "loss": math.inf, "nested": {"a": [1.0, float("-inf")]}})
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 0.5, "health/std": None, "lr": 0.25, "verdict": "learning"},
        {"step": 2, "loss": None, "nested": {"a": [1.0, None]}},
    ]
    for text in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_row_can_be_read_by_another_process_before_the_file_is_closed(tmp_path):
    writer = MetricsWriter(tmp_path / "metrics.jsonl")
    writer.write({"step": 1})
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1}]
    writer.close()


@pytest.mark.parametrize("cut", range(1, 26))
def test_a_row_cut_anywhere_by_a_crash_is_left_out_and_the_next_one_is_whole(tmp_path, cut):
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        writer.write({"step": 1})
        writer.write({"step": 2, "loss": 0.125})
    path.write_bytes(path.read_bytes()[:-cut])
    kept = read_metrics(path)
    # only the newline lost: the row can still be read, but it is not counted on
    assert kept in ([{"step": 1}], [{"step": 1}, {"step": 2, "loss": 0.125}] if cut == 1 else [])
    with MetricsWriter(path) as writer:
        writer.write({"step": 3})
    assert read_metrics(path) == [{"step": 1}, {"step": 3}]


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2 is not JSON .*; delete that line"):
        read_metrics(path)
    path.write_text('{"step": 1}\n[1, 2]\n')
    with pytest.raises(ValueError, match=r"line 2 holds list, not an object"):
        read_metrics(path)


def test_no_file_is_no_rows(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
