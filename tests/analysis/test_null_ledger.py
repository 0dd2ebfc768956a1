"""What the analyses claim where the truth is known: everything that was planted, and nothing where nothing was."""

from __future__ import annotations

from pathlib import Path

from analysis.load import load_results
from benchmarks.planted_claims import PARAMETERS, claims
from benchmarks.planted_ledger import write_ledger
from benchmarks.planted_rows import Ledger


def test_a_ledger_without_effects_yields_no_claim(tmp_path: Path) -> None:
    write_ledger(tmp_path, Ledger(trials=40, targets_per_domain=8, stages=3, null=True))
    assert {name for name, made in claims(load_results(tmp_path), {}).items() if made} == set()


def test_what_was_planted_is_claimed(tmp_path: Path) -> None:
    write_ledger(tmp_path, Ledger(trials=60, targets_per_domain=8, stages=3))
    made = claims(load_results(tmp_path), {})
    weaker = {f"search: {name} is important" for name in PARAMETERS if name != "lr_first"}
    assert {name for name, said in made.items() if not said} <= weaker
