"""All analyses in one process: findings printed, the rest written, no fault of one lost to the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from synthetic_ledger import Ledger, write_ledger

from analysis import __main__ as everything


def broken(argv: Sequence[str] | None) -> int:
    raise KeyError("a fault")


def test_findings_alone_are_printed_and_a_fault_is_not_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_ledger(tmp_path, Ledger(num_trials=12))
    monkeypatch.setattr(everything, "ANALYSES", (broken, everything.generalization.main))
    assert everything.main([str(path)]) == 1
    said = capsys.readouterr()
    assert [line.strip()[:2] for line in said.out.splitlines()[1:4]] == ["1.", "2.", "3."]
    assert "KeyError: 'a fault'" in said.err
    assert (path / "analysis" / "generalization.png").exists()


def test_too_little_to_say_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_ledger(tmp_path, Ledger(num_trials=2, finalists=None, domains=("art",), tune_targets=1))
    assert everything.main([str(path)]) == 0
    assert "analysis: " in capsys.readouterr().err
