"""Every analysis on ledgers that fall short: what can be said is said, what cannot is named, nothing is a traceback.

Exit 0 where something was shown, 2 where nothing could be. The ledgers are real Parquet.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from synthetic_ledger import Ledger, write_ledger
from synthetic_stages import LAYERS, Attacks, stage_rows, write_stages

from study.schema import SCHEMA_VERSION

COMMANDS = ("sensitivity", "generalization", "stages", "methods", "pictures", "findings")
WHOLE = Ledger(num_trials=16, tune_targets=3, test_targets=4, pictures=True, effect=lambda params, domain: 2.0)


def shown(*commands: str) -> dict[str, int]:
    """Exit statuses: 0 for these commands, 2 for the others."""
    return {command: 0 if command in commands else 2 for command in COMMANDS}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A ledger, what happened to it, how every command must end, and words that some of them must say."""

    ledger: Ledger = WHOLE
    schedules: int | None = None  # configs that have stages; None: all
    harm: Callable[[Path], None] = lambda folder: None
    ends: Mapping[str, int]
    says: Mapping[str, str] = field(default_factory=dict)


def rewrite(folder: Path, table: str, change: Callable[[pa.Table], pa.Table], *, parts: int | None = None) -> None:
    """Change the parts of a table, or the first few of them."""
    for path in sorted((folder / table).glob("[!.]*.parquet"))[:parts]:
        pq.write_table(change(pq.read_table(path)), path)


def without(*columns: str) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: rows.drop_columns([name for name in columns if name in rows.column_names])


def put(column: str, value: object) -> Callable[[pa.Table], pa.Table]:
    """One value in all of a column."""

    def change(rows: pa.Table) -> pa.Table:
        place, field = rows.column_names.index(column), rows.schema.field(column)
        return rows.set_column(place, field, pa.array([value] * len(rows), field.type))

    return change


def diverge(folder: Path) -> None:
    for score in ("psnr_db", "ssim", "mse", "matching_loss"):
        for table in ("reconstructions", "stages"):
            rewrite(folder, table, put(score, None))
    for table in ("trials", "reconstructions"):
        rewrite(folder, table, put("outcome", "diverged"))


def interrupt(folder: Path) -> None:
    """No trial has ended: each has one target, and none an outcome."""
    rewrite(folder, "trials", put("outcome", None))
    for table in ("reconstructions", "stages"):
        rewrite(folder, table, lambda rows: rows.filter(pc.equal(rows["target_id"], "tune-art-0")))


def age_one_part(folder: Path) -> None:
    """One part of the stages and of the reconstructions is as an earlier version wrote it."""
    rewrite(folder, "stages", without("steps_taken"), parts=1)
    rewrite(folder, "reconstructions", without("rank_ssim", "gallery_size", "rank_psnr_db"), parts=1)


def set_plan(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        plan = json.loads((folder / "plan.json").read_text())
        (folder / "plan.json").write_text(json.dumps(plan | values))

    return change


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text((folder / name).read_text()[:-20]) and None


def remove(table: str) -> Callable[[Path], None]:
    return lambda folder: shutil.rmtree(folder / table)


UNFINISHED = replace(WHOLE, finalists=None)
EVERYTHING = shown(*COMMANDS)
CASES = {
    "whole": Case(ends=EVERYTHING),
    "one trial": Case(
        ledger=replace(UNFINISHED, num_trials=1),
        ends=shown("stages", "findings"),
        says={"stages": "No finalist has stages on test targets", "findings": "cannot be said"},
    ),
    "one domain": Case(
        ledger=replace(WHOLE, domains=("art",), steered=("art",)),
        ends=EVERYTHING,
    ),
    "no complete trial": Case(ledger=UNFINISHED, harm=interrupt, ends=shown("sensitivity", "stages", "findings")),
    "only the published recipe": Case(
        ledger=replace(WHOLE, num_trials=1, finalists={"published": 0, "oracle": 0, "observable": 0}),
        ends=shown("generalization", "stages", "methods", "pictures", "findings"),
        says={"pictures": "no tuned row", "findings": "its own choice is the recipe"},
    ),
    "every row diverged": Case(
        harm=diverge, ends=shown("findings"), says={"stages": "holds no stage with a score", "pictures": "0 scores"}
    ),
    "one part of an earlier version": Case(
        harm=age_one_part,
        ends=EVERYTHING,
        says={
            "stages": "1 of 3 parts of stages are of an earlier version and hold no steps_taken, "
            "which reads as absent; run: python -m study.ledger migrate",
            "methods": "1 of 2 parts of reconstructions are of an earlier version and hold no gallery_size",
        },
    ),
    "an earlier version": Case(
        harm=set_plan(schema_version=SCHEMA_VERSION - 1),
        ends=EVERYTHING,
        says=dict.fromkeys(("methods", "pictures", "findings"), "python -m study.ledger migrate"),
    ),
    "a later version": Case(
        harm=set_plan(schema_version=SCHEMA_VERSION + 1),
        ends=shown(),
        says=dict.fromkeys(COMMANDS, "install the version that wrote it"),
    ),
    "a column that every row needs is missing": Case(
        harm=lambda folder: rewrite(folder, "reconstructions", without("domain"), parts=1),
        ends=shown("stages"),
        says={"findings": "hold no domain, which every row"},
    ),
    "images missing": Case(harm=remove("images"), ends=EVERYTHING | {"pictures": 2}, says={"pictures": "0 images"}),
    "stages missing": Case(harm=remove("stages"), ends=EVERYTHING | {"stages": 2}),
    "targets table missing": Case(harm=remove("targets"), ends=EVERYTHING, says={"pictures": "row is left out"}),
    "trials table missing": Case(harm=remove("trials"), ends=EVERYTHING | {"sensitivity": 2}),
    "a finalist without rows": Case(
        harm=lambda folder: (
            (folder / "finalists.json").write_text('{"published": 0, "oracle": 99, "observable": 9}') and None
        ),
        ends=EVERYTHING | {"pictures": 2},
        says={"findings": "Trial 99, the tuned choice, has no score on any test image"},
    ),
    "a finalist that is no number": Case(
        harm=lambda folder: (folder / "finalists.json").write_text('{"oracle": "best"}') and None,
        ends=shown(),
        says=dict.fromkeys(COMMANDS, "names a trial by its number, for oracle it says 'best'"),
    ),
    "plan.json cut short": Case(harm=cut("plan.json"), ends=shown(), says=dict.fromkeys(COMMANDS, "restore it")),
    "finalists.json cut short": Case(
        harm=cut("finalists.json"), ends=shown(), says=dict.fromkeys(COMMANDS, "command again to write it anew")
    ),
    "a part cut short": Case(
        harm=lambda folder: (folder / "reconstructions" / "part-0.parquet").write_bytes(b"PAR1 half"),
        ends=shown(),
        says=dict.fromkeys(COMMANDS, "cannot be read"),
    ),
}


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Each case's folder, written once."""
    written: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if name not in written:
            case = CASES[name]
            folder = write_ledger(tmp_path_factory.mktemp("bad") / "results", case.ledger)
            attacks = Attacks(schedules=[LAYERS] * case.ledger.num_trials, domains=case.ledger.domains, num_targets=3)
            tested = stage_rows(attacks, phase="test", seed=1) if case.ledger.finalists else []
            write_stages(folder, stage_rows(attacks) + tested)
            case.harm(folder)
            written[name] = folder
        return written[name]

    return folder_of


def pairs() -> list[object]:
    """Every command on every ledger; those that draw a large figure and have nothing to say of it are slow."""
    large = ("sensitivity", "generalization", "stages")
    return [
        pytest.param(
            command,
            name,
            marks=[pytest.mark.slow]
            if command in large and not case.ends[command] and command not in case.says
            else [],
            id=f"{command}-{name}",
        )
        for name, case in CASES.items()
        for command in COMMANDS
    ]


@pytest.mark.parametrize(("command", "name"), pairs())
def test_a_ledger_that_falls_short_is_answered(
    command: str, name: str, ledgers: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    case, folder = CASES[name], ledgers(name)
    status = import_module(f"analysis.{command}").main([str(folder)])
    said = capsys.readouterr()
    assert status == case.ends[command], said.err or said.out
    assert case.says.get(command, "") in said.out + said.err
    if status == 2:
        assert said.out == ""
        assert said.err.startswith("analysis: ")
        assert said.err.count("\n") == 1  # one sentence
    else:
        assert said.out
        assert said.err == ""
