import json
import os
import stat
from pathlib import Path

import pytest

from openjepa.data.ledger import Ledger, LedgerEntry, TooManyBad, printable, read_ledger


def test_entries_are_lines_and_a_file_is_named_once(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.jsonl", total=10, max_bad=0.5)
    first = [LedgerEntry("a.jpg", "empty"), LedgerEntry("b.gif", "animated", "note", 3)]
    assert ledger.add(first) == first
    assert ledger.add([LedgerEntry("a.jpg", "empty", step=7)]) == []
    assert [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()] == [
        {"path": "a.jpg", "reason": "empty", "kind": "bad", "step": None},
        {"path": "b.gif", "reason": "animated", "kind": "note", "step": 3},
    ]
    again = Ledger(tmp_path / "ledger.jsonl", total=10, max_bad=0.5)
    assert again.add(first) == [] and read_ledger(tmp_path / "ledger.jsonl") == first


def test_the_limit_is_a_share_and_the_error_lists_the_files(tmp_path: Path):
    """Two of twenty are a tenth: allowed. The third is not; notes do not count."""
    ledger = Ledger(tmp_path / "ledger.jsonl", total=20, max_bad=0.1)
    ledger.add([LedgerEntry(f"note{k}", "words", "note") for k in range(9)])
    ledger.add([LedgerEntry("1.jpg", "empty"), LedgerEntry("2.jpg", "truncated")])
    with pytest.raises(TooManyBad) as caught:
        ledger.add([LedgerEntry("3.jpg", "no image")])
    text = str(caught.value)
    assert "3 of 20 files" in text and "--data.max-bad 0.1" in text
    assert all(line in text for line in ("1.jpg: empty", "2.jpg: truncated", "3.jpg: no image"))
    assert len(read_ledger(tmp_path / "ledger.jsonl")) == 12  # the last one is on disk although it stopped the run


def test_a_long_list_is_cut_and_says_where_the_rest_is(tmp_path: Path):
    with pytest.raises(TooManyBad, match=r"and 30 more, in .*ledger\.jsonl"):
        Ledger(tmp_path / "ledger.jsonl", total=50, max_bad=0).add(LedgerEntry(f"{k}.jpg", "empty") for k in range(50))
    assert len(read_ledger(tmp_path / "ledger.jsonl")) == 50


def test_a_resumed_run_remembers_what_was_bad(tmp_path: Path):
    Ledger(tmp_path / "ledger.jsonl", total=10, max_bad=0.1).add([LedgerEntry("1.jpg", "empty")])
    with pytest.raises(TooManyBad, match="2 of 10"):
        Ledger(tmp_path / "ledger.jsonl", total=10, max_bad=0.1).add([LedgerEntry("2.jpg", "empty")])


def test_a_line_cut_by_a_kill_costs_only_itself(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    Ledger(path, 10, 1).add([LedgerEntry("1.jpg", "empty"), LedgerEntry("2.jpg", "empty")])
    path.write_bytes(path.read_bytes()[:-12])
    Ledger(path, 10, 1).add([LedgerEntry("3.jpg", "empty")])
    assert [entry.path for entry in read_ledger(path)] == ["1.jpg", "3.jpg"]


def test_lines_are_on_disk_before_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[int] = []

    def fsync(handle: int) -> None:
        assert stat.S_ISREG(os.fstat(handle).st_mode)
        synced.append(os.fstat(handle).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    Ledger(tmp_path / "ledger.jsonl", 10, 1).add([LedgerEntry("1.jpg", "empty")])
    assert synced == [(tmp_path / "ledger.jsonl").stat().st_size]


def test_any_file_name_becomes_text_that_utf8_and_json_can_hold():
    names = [os.fsdecode(name) for name in (b"caf\xe9.png", b"\xff\x00\n.png", "ünïcödé 猫.png".encode(), b"a\tb\x1b[0m.png")]
    shown = [printable(name) for name in names]
    assert shown == ["caf\\xe9.png", "\\xff\\x00\\n.png", "ünïcödé 猫.png", "a\\tb\\x1b[0m.png"]
    assert all(json.loads(json.dumps(text, ensure_ascii=False).encode().decode()) == text for text in shown)
