"""Reference mode against numbers that the authors' code itself gave: golden/reference_mode.json tells whence."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.parity_case import Case, Outcome, golden_case, run_ours
from gifd_ops.quirks import MENDED, REFERENCE, Quirks
from gifd_ops.stages import FeatureStage

GOLDEN = Path(__file__).parent / "golden" / "reference_mode.json"
RELATIVE = 1e-6  # float64; measured: 4e-13
PARTS = ("losses", "scores", "stage", "score", "image")
QUIRKS = tuple(field.name for field in fields(Quirks) if getattr(REFERENCE, field.name) != getattr(MENDED, field.name))


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def case() -> Case:
    return golden_case()


@pytest.fixture(scope="module")
def ours(case: Case) -> Outcome:
    return run_ours(case)


def parts_of(outcome: Outcome | dict[str, Any]) -> dict[str, Tensor]:
    told = (
        outcome if isinstance(outcome, dict) else vars(outcome) | {"losses": [one.tolist() for one in outcome.losses]}
    )
    return {name: torch.as_tensor(told[name], dtype=torch.float64) for name in PARTS}


def changed(outcome: Outcome, golden: dict[str, Any]) -> set[str]:
    """The parts that are not the authors'."""
    found, expected = parts_of(outcome), parts_of(golden)
    return {name for name in PARTS if not torch.allclose(found[name], expected[name], rtol=RELATIVE, atol=1e-9)}


def with_quirks(case: Case, **told: Any) -> Case:
    return replace(case, config=replace(case.config, quirks=replace(case.config.quirks, **told)))


@pytest.mark.parametrize("part", PARTS)
def test_reference_mode_gives_what_the_authors_code_gave(part: str, ours: Outcome, golden: dict[str, Any]) -> None:
    torch.testing.assert_close(parts_of(ours)[part], parts_of(golden)[part], rtol=RELATIVE, atol=1e-9)


def test_the_label_is_inferred_as_theirs(ours: Outcome, golden: dict[str, Any], case: Case) -> None:
    assert ours.label == golden["label"] == int(case.label)


def test_the_golden_run_has_every_stage_restart_and_step(golden: dict[str, Any], case: Case) -> None:
    steps = {stage.steps for stage in case.stages}
    assert parts_of(golden)["losses"].shape == (len(case.stages), case.config.restarts, *steps)
    assert case.config.quirks == REFERENCE


@pytest.mark.parametrize(
    ("quirk", "differs", "stays"),
    [
        ("restart_select", {"image"}, {"losses", "scores", "stage", "score"}),
        ("share_restart_noises", {"losses", "scores"}, set()),
        ("rgb_skip", {"losses", "scores", "image"}, set()),
        ("stage_image", {"scores", "score", "image"}, {"losses"}),
        ("first_step", {"losses", "scores", "score", "image"}, set()),
    ],
)
def test_mending_a_single_quirk_gives_something_else(
    quirk: str, differs: set[str], stays: set[str], case: Case, golden: dict[str, Any]
) -> None:
    found = changed(run_ours(with_quirks(case, **{quirk: getattr(MENDED, quirk)})), golden)
    assert differs <= found
    assert not stays & found


def test_no_quirk_of_the_reference_is_left_out_above() -> None:
    marks = test_mending_a_single_quirk_gives_something_else.pytestmark
    assert sorted(row[0] for row in marks[0].args[1]) == sorted(QUIRKS)


def test_noises_are_shared_with_the_restart_before_and_colors_are_dropped_from_the_second_stage_on(
    case: Case, golden: dict[str, Any]
) -> None:
    apart = parts_of(run_ours(with_quirks(case, share_restart_noises=False)))["losses"]
    carried = parts_of(run_ours(with_quirks(case, rgb_skip="carry")))["losses"]
    expected = parts_of(golden)["losses"]
    same = {"rtol": RELATIVE, "atol": 0.0}
    assert torch.allclose(apart[0, 0], expected[0, 0], **same)
    assert not torch.allclose(apart[0, 1, :1], expected[0, 1, :1], **same)
    assert torch.allclose(carried[0], expected[0], **same)
    assert not torch.allclose(carried[1, :, :1], expected[1, :, :1], **same)


def test_the_spherical_step_that_the_reference_never_takes_would_show(case: Case, golden: dict[str, Any]) -> None:
    assert REFERENCE.spherical == "off"
    assert {"losses", "scores", "score", "image"} <= changed(run_ours(with_quirks(case, spherical="on")), golden)


@pytest.mark.parametrize("radius", ["feature_radius", "latent_radius", "noise_radius"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_ball_of_the_golden_run_holds_something_back(
    layer: int, radius: str, case: Case, golden: dict[str, Any]
) -> None:
    def freed(stage: FeatureStage) -> FeatureStage:
        return replace(stage, **{radius: None}) if stage.layer == layer else stage

    free = replace(case, config=replace(case.config, stages=tuple(freed(stage) for stage in case.stages)))
    no_such_ball = radius == "feature_radius" and layer == 0
    assert ("losses" in changed(run_ours(free), golden)) != no_such_ball
