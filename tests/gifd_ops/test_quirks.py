from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gifd_ops.config import AttackConfig
from gifd_ops.quirks import CHOICES, COMPAT, MENDED, REFERENCE, Quirks, read_quirk
from gifd_ops.result import AttackResult, StageResult
from gifd_ops.stages import PixelStage

PIXELS = PixelStage(steps=2, lr=0.1, signed=False)
any_quirks = st.builds(
    lambda told: Quirks(**told), st.fixed_dictionaries({n: st.sampled_from(c) for n, c in CHOICES.items()})
)


def test_every_quirk_has_its_choices_the_mended_one_first() -> None:
    assert list(CHOICES) == [field.name for field in fields(Quirks)]
    assert asdict(MENDED) == {name: choices[0] for name, choices in CHOICES.items()}
    assert AttackConfig(stages=(PIXELS,), restarts=1, tv_weight=0.0, l2_weight=0.0).quirks == MENDED


def test_the_published_code_does_otherwise_in_all_but_the_spherical_step_that_it_never_takes() -> None:
    expected = {name: choices[1] for name, choices in CHOICES.items()} | {"spherical": "off"}
    assert asdict(REFERENCE) == expected
    assert {"mended": MENDED, "reference": REFERENCE} == COMPAT


@given(any_quirks)
def test_quirks_survive_json_inside_a_config(quirks: Quirks) -> None:
    config = AttackConfig(stages=(PIXELS,), restarts=2, tv_weight=0.0, l2_weight=0.0, quirks=quirks)
    again = AttackConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.quirks == quirks


@given(any_quirks)
def test_quirks_read_one_by_one_make_up_the_whole(quirks: Quirks) -> None:
    read = MENDED
    for name, value in asdict(quirks).items():
        read = replace(read, **read_quirk(name, str(value).upper()))
    assert read == quirks
    assert isinstance(read.share_restart_noises, bool)


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("rgb", "drop", r"no quirk 'rgb'; choose from restart_select, .*spherical"),
        ("rgb_skip", "dropped", r"quirk rgb_skip must be carry or drop, got 'dropped'"),
        ("share_restart_noises", "yes", r"quirk share_restart_noises must be false or true, got 'yes'"),
        ("restart_select", "", r"quirk restart_select must be best or last, got ''"),
    ],
)
def test_a_quirk_that_is_none_is_refused_with_what_may_be_said(name: str, text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        read_quirk(name, text)


@pytest.mark.parametrize("name", CHOICES)
def test_a_value_that_is_no_choice_is_refused(name: str) -> None:
    allowed = " or ".join(str(choice).lower() for choice in CHOICES[name])
    with pytest.raises(ValueError, match=f"{name} must be {allowed}, got 'otherwise'"):
        Quirks(**{name: "otherwise"})


def results(restart_select: str) -> AttackResult:
    """Three targets, two stages, three restarts; every image shows its stage, target and restart."""
    nan = math.nan
    losses = (
        [[0.5, 0.2, 0.9], [nan, 0.8, 0.7], [nan, 0.1, nan]],
        [[0.3, 0.6, 0.4], [0.1, nan, 0.6], [nan, nan, 0.2]],
    )
    stages = []
    for index, scores in enumerate(losses):
        places = 100 * index + torch.arange(9.0).view(3, 3)
        stages.append(
            StageResult(
                stage=PIXELS,
                images=places[..., None, None, None].expand(-1, -1, 3, 2, 2),
                matching_loss=torch.tensor(scores),
                loss_trace=torch.tensor(scores)[..., None],
                steps_taken=torch.ones(3, 3, dtype=torch.int64),
            )
        )
    return AttackResult(
        stages=tuple(stages),
        labels=torch.zeros(3),
        gradient_evaluations=torch.ones(3, dtype=torch.int64),
        restart_select=restart_select,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("restart_select", "restarts", "shown"),
    [("best", [1, 0, 1], [1, 103, 7]), ("last", [2, 2, 2], [2, 105, 8])],
)
def test_last_shows_the_last_restarts_image_with_the_score_of_the_best(
    restart_select: str, restarts: list[int], shown: list[int]
) -> None:
    result = results(restart_select)
    assert result.best.matching_loss.tolist() == pytest.approx([0.2, 0.1, 0.1])
    assert result.best.stage.tolist() == [0, 1, 0]
    assert result.best.restart.tolist() == restarts
    assert result.best.images[:, 0, 0, 0].tolist() == shown
    later = result.best_of_stage(1)
    assert later.matching_loss.tolist() == pytest.approx([0.3, 0.1, 0.2])
    assert later.stage.tolist() == [1, 1, 1]
    assert later.restart.tolist() == ([0, 0, 2] if restart_select == "best" else restarts)
    assert later.images[:, 0, 0, 0].tolist() == ([100, 103, 108] if restart_select == "best" else [102, 105, 108])
