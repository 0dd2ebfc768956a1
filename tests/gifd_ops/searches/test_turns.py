"""Restarts that take turns at one set of noise maps, as the authors' code runs them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import gifd_ops.searches.turns
from gifd_ops.attack import AttackResult, run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation
from gifd_ops.quirks import MENDED, REFERENCE, Quirks
from gifd_ops.searches.features import search_features
from gifd_ops.searches.search import StageEnd
from gifd_ops.seeds import derive_seed
from gifd_ops.stages import FeatureStage, Radius, Stage, WeightStage
from gifd_ops.victims import Victim

SEEDS, RESTARTS = (11, 22, 33), 3
STAGE = FeatureStage(
    layer=0,
    steps=3,
    lr=0.1,
    feature_radius=Radius(value=0.05, relative=True),
    latent_radius=None,
    noise_radius=Radius(value=0.5, relative=True),
)
STAGES = (STAGE, replace(STAGE, layer=1), replace(STAGE, layer=2))
IN_TURNS = replace(MENDED, share_restart_noises=True)

Turn = tuple[Features, StageEnd]


def attack(*stages: Stage, restarts: int = RESTARTS, quirks: Quirks = IN_TURNS) -> AttackConfig:
    return AttackConfig(stages=stages, restarts=restarts, tv_weight=1e-3, l2_weight=0.0, quirks=quirks)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[Turn]:
    """Where each turn began and ended, in order."""
    seen: list[Turn] = []

    def watched(start: Features, *rest: Any, **options: Any) -> StageEnd:
        end = search_features(start, *rest, **options)
        seen.append((start, end))
        return end

    monkeypatch.setattr(gifd_ops.searches.turns, "search_features", watched)
    return seen


@pytest.fixture
def result(
    turns: list[Turn], observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> AttackResult:
    return run_attack(observation, tiny_generator, lenet, attack(*STAGES), seeds=SEEDS)


def same(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def ended(turn: Turn) -> Features:
    features = turn[1].features
    assert features is not None
    return features


def test_each_restart_goes_on_from_the_noises_that_the_one_before_left_from_stage_to_stage(
    turns: list[Turn], result: AttackResult, tiny_generator: StyleGan2Generator
) -> None:
    assert [start.layer for start, _ in turns] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    first = tiny_generator.start([derive_seed(seed, "restart", 0) for seed in SEEDS])
    assert same(turns[0][0].noises, first.noises)
    for before, after in pairwise(turns):
        assert same(after[0].noises, ended(before).noises)
        assert not same(ended(before).noises, before[0].noises)  # they do move


def test_every_restart_keeps_latents_of_its_own(
    turns: list[Turn], result: AttackResult, tiny_generator: StyleGan2Generator
) -> None:
    for restart in range(RESTARTS):
        rows = tiny_generator.start([derive_seed(seed, "restart", restart) for seed in SEEDS])
        assert torch.equal(turns[restart][0].latent, rows.latent)
        for stage in (1, 2):
            before, after = turns[RESTARTS * (stage - 1) + restart], turns[RESTARTS * stage + restart]
            assert torch.equal(after[0].latent, ended(before).latent)


def test_features_are_handed_on_as_they_were_in_their_restarts_own_turn(
    turns: list[Turn], result: AttackResult, tiny_generator: StyleGan2Generator
) -> None:
    """Made with the noises of that turn, not with those the last restart left."""
    for stage in (1, 2):
        for restart in range(RESTARTS):
            before = ended(turns[RESTARTS * (stage - 1) + restart])
            own = tiny_generator.advance(before, to=stage)
            last = ended(turns[RESTARTS * stage - 1]).noises
            with_the_last = tiny_generator.advance(replace(before, noises=last), to=stage)
            begun = turns[RESTARTS * stage + restart][0]
            assert own.hidden is not None
            assert begun.hidden is not None
            assert own.skip is not None
            assert begun.skip is not None
            torch.testing.assert_close(begun.hidden, own.hidden, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(begun.skip, own.skip, rtol=1e-12, atol=1e-12)
            assert torch.allclose(begun.hidden, with_the_last.hidden) == (restart == RESTARTS - 1)


def test_what_is_found_stands_at_its_target_and_restart(turns: list[Turn], result: AttackResult) -> None:
    for index, stage in enumerate(result.stages):
        for restart in range(RESTARTS):
            _, end = turns[RESTARTS * index + restart]
            assert torch.equal(stage.images[:, restart], end.images)
            assert torch.equal(stage.loss_trace[:, restart], end.trace)
            for part in ("feature_radius", "latent_radius", "noise_radius", "feature_moved_l1"):
                found, own = getattr(stage, part), getattr(end, part)
                assert (found is None) == (own is None)
                assert found is None or torch.equal(found[:, restart], own)


@pytest.mark.parametrize("quirks", [IN_TURNS, REFERENCE], ids=["in turns", "reference"])
def test_one_restart_has_nobody_to_share_with(
    quirks: Quirks, observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    alone = attack(*STAGES, WeightStage(steps=2, lr=0.01), restarts=1, quirks=quirks)
    mended = replace(alone, quirks=replace(quirks, share_restart_noises=False))
    found, expected = (run_attack(observation, tiny_generator, lenet, told, seeds=SEEDS) for told in (alone, mended))
    for a, b in zip(found.stages, expected.stages, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.loss_trace, b.loss_trace)
        assert torch.equal(a.matching_loss, b.matching_loss)


def test_the_first_restart_of_the_first_stage_is_as_ever_and_the_others_are_not(
    result: AttackResult, observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    apart = run_attack(observation, tiny_generator, lenet, attack(*STAGES, quirks=MENDED), seeds=SEEDS)
    first, mended = result.stages[0], apart.stages[0]
    torch.testing.assert_close(first.loss_trace[:, 0], mended.loss_trace[:, 0], rtol=1e-9, atol=1e-12)
    assert not bool((first.loss_trace[:, 1:] == mended.loss_trace[:, 1:]).any())


@pytest.mark.parametrize("following", [WeightStage(steps=2, lr=0.01), None], ids=["weights", "nothing"])
def test_what_follows_sees_the_last_restarts_noises_everywhere(
    following: WeightStage | None,
    turns: list[Turn],
    observation: Observation,
    tiny_generator: StyleGan2Generator,
    lenet: Victim,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: list[StageEnd] = []
    original = gifd_ops.searches.turns.search_in_turns

    def watched(*arguments: Any) -> StageEnd:
        ends.append(original(*arguments))
        return ends[-1]

    monkeypatch.setattr("gifd_ops.attack.search_in_turns", watched)
    stages = (*STAGES[:2], *([] if following is None else [following]))
    run_attack(observation, tiny_generator, lenet, attack(*stages), seeds=SEEDS)
    features = ends[-1].features
    assert features is not None
    assert features.layer == 1
    for restart in range(RESTARTS):
        rows = features.select(slice(restart, None, RESTARTS))
        assert same(rows.noises, ended(turns[-1]).noises)
        own = ended(turns[RESTARTS + restart])
        assert own.hidden is not None
        assert torch.equal(rows.latent, own.latent)
        assert torch.equal(rows.hidden, own.hidden)


def test_colors_that_are_dropped_are_dropped_in_every_turn(
    turns: list[Turn], observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    run_attack(observation, tiny_generator, lenet, attack(*STAGES, quirks=REFERENCE), seeds=SEEDS)
    assert len(turns) == 3 * RESTARTS
    assert all(start.skip is None for start, _ in turns)
