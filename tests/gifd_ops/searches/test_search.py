"""What every kind of attack keeps to, whatever its stages are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import gifd_ops.attack
from gifd_ops.attack import AttackResult, run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features, Generator
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation
from gifd_ops.matching import CosineMatching
from gifd_ops.quirks import REFERENCE
from gifd_ops.seeds import derive_seed
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Radius, Stage, WeightStage
from gifd_ops.victims import Victim

SEEDS, RESTARTS = (11, 22, 33), 2
BALL = Radius(value=0.05, relative=True)
FEATURES = FeatureStage(layer=0, steps=3, lr=0.1, feature_radius=BALL, latent_radius=None, noise_radius=BALL)
LATENT = replace(FEATURES, feature_radius=None, noise_radius=None, noises=False, decay="steps")
WEIGHTS = WeightStage(steps=2, lr=0.01)
OWN = EvolutionStage(steps=9, population=4, sigma=1.0, own_slots=True, full_covariance=False)
SHARED = replace(OWN, own_slots=False, full_covariance=True, kl_weight=0.1)
PIXELS = PixelStage(steps=4, lr=0.1, signed=False)


def attack(*stages: Stage) -> AttackConfig:
    return AttackConfig(stages=stages, restarts=RESTARTS, tv_weight=1e-3, l2_weight=1e-4)


ROWS_ALONE = {
    "gifd": attack(FEATURES, replace(FEATURES, layer=1), replace(FEATURES, layer=2)),
    "gias": attack(LATENT, WEIGHTS),
    "weights of later layers": attack(LATENT, replace(FEATURES, layer=2), WEIGHTS),
    "ggl": replace(attack(OWN), distance="l2"),
    "evolution, then features": attack(SHARED, replace(FEATURES, layer=1)),
    "ig": attack(replace(PIXELS, signed=True, decay="ramp")),
    "pixels by l2": replace(attack(PIXELS), distance="l2"),
}
RESTARTS_TOGETHER = {  # whose restarts take notice of one another
    "gi": replace(attack(PIXELS), distance="l2", group_weight=10.0),
    "features that agree": replace(attack(FEATURES), group_weight=10.0),
    "evolution that agrees": replace(attack(OWN), group_weight=10.0),
    "gifd in turns": replace(ROWS_ALONE["gifd"], quirks=REFERENCE),
}
ATTACKS = ROWS_ALONE | RESTARTS_TOGETHER
PARTS = ("loss_trace", "matching_loss", "images")
every_attack = pytest.mark.parametrize("name", ATTACKS)

Run = Callable[..., AttackResult]


@pytest.fixture(scope="module")
def run(observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim) -> Run:
    def run(config: AttackConfig, *, seen: Observation = observation, seeds: tuple[int, ...] = SEEDS) -> AttackResult:
        return run_attack(seen, tiny_generator, lenet, config, seeds=seeds)

    return run


@pytest.fixture(scope="module")
def results(run: Run) -> dict[str, AttackResult]:
    return {name: run(config) for name, config in ATTACKS.items()}


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The labels of every cross-entropy: one a row whose gradient the victim computes."""
    seen: list[Tensor] = []
    original = functional.cross_entropy

    def watched(logits: Tensor, labels: Tensor, **options: str) -> Tensor:
        seen.append(labels)
        return original(logits, labels, **options)

    monkeypatch.setattr(functional, "cross_entropy", watched)
    return seen


def only(observation: Observation, target: int) -> Observation:
    return replace(observation, gradients=tuple(gradient[target : target + 1] for gradient in observation.gradients))


@pytest.mark.parametrize("name", ROWS_ALONE)
def test_a_row_of_a_batch_is_the_row_alone(
    name: str,
    run: Run,
    results: dict[str, AttackResult],
    observation: Observation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for target, restart in ((0, 0), (1, 1), (2, 1)):
        begun = derive_seed(SEEDS[target], "restart", restart)
        monkeypatch.setattr(gifd_ops.attack, "derive_seed", lambda *_, begun=begun: begun)
        alone = run(replace(ATTACKS[name], restarts=1), seen=only(observation, target), seeds=(SEEDS[target],))
        for fused, single in zip(results[name].stages, alone.stages, strict=True):
            for part in PARTS:
                torch.testing.assert_close(
                    getattr(fused, part)[target, restart], getattr(single, part)[0, 0], rtol=1e-8, atol=1e-8
                )


@every_attack
def test_a_target_among_others_is_the_target_alone(
    name: str, run: Run, results: dict[str, AttackResult], observation: Observation
) -> None:
    alone = run(ATTACKS[name], seen=only(observation, 1), seeds=(SEEDS[1],))
    for fused, single in zip(results[name].stages, alone.stages, strict=True):
        for part in PARTS:
            torch.testing.assert_close(getattr(fused, part)[1], getattr(single, part)[0], rtol=1e-8, atol=1e-8)


@every_attack
def test_a_target_draws_from_its_own_seed_only(name: str, run: Run, results: dict[str, AttackResult]) -> None:
    torch.manual_seed(99)  # the global state plays no part
    changed = run(ATTACKS[name], seeds=(11, 23, 33))
    for before, after in zip(results[name].stages, changed.stages, strict=True):
        for part in PARTS:
            assert torch.equal(getattr(before, part)[[0, 2]], getattr(after, part)[[0, 2]])
        assert not bool((before.loss_trace[1] == after.loss_trace[1]).any())


@every_attack
def test_no_two_restarts_are_alike(name: str, results: dict[str, AttackResult]) -> None:
    for stage in results[name].stages:
        assert len(stage.images.flatten(0, 1).flatten(1).unique(dim=0)) == len(SEEDS) * RESTARTS


@every_attack
def test_a_target_that_is_not_a_number_leaves_the_others_alone(
    name: str, run: Run, results: dict[str, AttackResult], observation: Observation
) -> None:
    broken = replace(observation, gradients=tuple(gradient.clone() for gradient in observation.gradients))
    broken.gradients[0][1, 0, 0, 0, 0] = math.nan
    result = run(ATTACKS[name], seen=broken)
    for whole, with_nan in zip(results[name].stages, result.stages, strict=True):
        assert bool(with_nan.loss_trace[1].isnan().all())
        for part in PARTS:
            found, expected = getattr(with_nan, part)[[0, 2]], getattr(whole, part)[[0, 2]]
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    assert result.best.matching_loss[1] == math.inf
    assert bool(result.best.matching_loss[[0, 2]].isfinite().all())


@pytest.mark.parametrize("name", [*ROWS_ALONE, "gifd in turns"])
def test_a_target_that_is_not_a_number_costs_no_more_than_it_takes_to_see_that(
    name: str, run: Run, observation: Observation, used: list[Tensor]
) -> None:
    broken = replace(observation, gradients=tuple(gradient.clone() for gradient in observation.gradients))
    broken.gradients[0][1, 0, 0, 0, 0] = math.nan
    told = ATTACKS[name]
    result = run(told, seen=broken)
    first = told.stages[0]
    least = RESTARTS * (first.population if isinstance(first, EvolutionStage) else 1)
    if told.quirks.share_restart_noises:
        least = 1  # the other restarts would go on from noises that are none
    assert result.gradient_evaluations.tolist() == [told.gradient_evaluations, least, told.gradient_evaluations]
    assert len(torch.cat(used)) == int(result.gradient_evaluations.sum())
    steps = torch.stack([stage.steps_taken for stage in result.stages])
    assert int(steps[:, 1].sum()) == least
    assert int(steps[1:, 1].sum()) == 0
    for stage in result.stages:
        assert bool((stage.steps_taken[[0, 2]] == stage.stage.steps).all())
        assert bool(stage.images[1].isnan().all())


def test_a_restart_that_is_not_a_number_leaves_those_it_pulls_at_together(run: Run, observation: Observation) -> None:
    """They are searched as ever: the budget is spent, and nothing is scored that is no image."""
    broken = replace(observation, gradients=tuple(gradient.clone() for gradient in observation.gradients))
    broken.gradients[0][1, 0, 0, 0, 0] = math.nan
    result = run(replace(ATTACKS["gi"], patience=1), seen=broken)
    assert bool((result.stages[0].steps_taken == PIXELS.steps).all())
    whole = RESTARTS * (PIXELS.steps + 1)
    assert result.gradient_evaluations.tolist() == [whole, whole - RESTARTS, whole]


@dataclass(frozen=True)
class BreaksDown:
    """A generator of which one row is no number any more from a layer on."""

    generator: StyleGan2Generator
    layer: int
    row: int

    def advance(self, features: Features, *, to: int) -> Features:
        entered = self.generator.advance(features, to=to)
        if to == self.layer:
            assert entered.hidden is not None
            entered = replace(entered, hidden=entered.hidden.clone())
            assert entered.hidden is not None
            entered.hidden[self.row, 0, 0, 0] = math.nan
        return entered

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)


def test_a_row_that_diverges_later_counts_with_the_stages_before(
    observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim, results: dict[str, AttackResult]
) -> None:
    target, restart = 1, 0
    breaks: Generator = BreaksDown(tiny_generator, layer=1, row=RESTARTS * target + restart)  # type: ignore[assignment]
    result, whole = run_attack(observation, breaks, lenet, ATTACKS["gifd"], seeds=SEEDS), results["gifd"]
    assert [int(stage.steps_taken[target, restart]) for stage in result.stages] == [FEATURES.steps, 0, 0]
    spent = FEATURES.steps + 1
    assert int(result.gradient_evaluations[target]) == int(whole.gradient_evaluations[target]) - 2 * spent
    assert torch.equal(result.stages[0].images, whole.stages[0].images)
    for found, expected in zip(result.stages[1:], whole.stages[1:], strict=True):
        for part in (*PARTS, "feature_radius", "feature_moved_l1"):
            there, wanted = getattr(found, part).flatten(0, 1), getattr(expected, part).flatten(0, 1)
            torch.testing.assert_close(there[[0, 1, 3, 4, 5]], wanted[[0, 1, 3, 4, 5]], rtol=1e-8, atol=1e-8)
            assert bool(there[2].isnan().all()), part
    assert bool(result.best.matching_loss.isfinite().all())
    alone = run_attack(only(observation, target), tiny_generator, lenet, ATTACKS["gifd"], seeds=SEEDS[1:2])
    left = [alone.stages[0].matching_loss[0, 0], *(stage.matching_loss[0, 1] for stage in alone.stages)]
    torch.testing.assert_close(result.best.matching_loss[target], torch.stack(left).min(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [*ROWS_ALONE, "gifd in turns"])
def test_patience_ends_a_stage_and_the_next_one_goes_on(
    name: str, run: Run, results: dict[str, AttackResult], used: list[Tensor]
) -> None:
    """A rate of next to nothing is no progress; but the first update of pixels brings them into range."""
    first = ATTACKS[name].stages[0]
    if isinstance(first, EvolutionStage):
        stages = (replace(first, sigma=1e-9), *ATTACKS[name].stages[1:])
    else:
        stages = (replace(first, lr=1e-12), *ATTACKS[name].stages[1:])
    result = run(replace(ATTACKS[name], stages=stages, patience=1))
    stopped = {"evolution": OWN.population, "pixels": 3}.get(first.kind, 2)
    assert bool((result.stages[0].steps_taken == stopped).all())
    assert bool((result.stages[0].loss_trace[..., :stopped]).isfinite().all())
    assert bool((result.stages[0].loss_trace[..., stopped:]).isnan().all())
    for later in result.stages[1:]:
        assert bool((later.steps_taken > 0).all())
    assert len(torch.cat(used)) == int(result.gradient_evaluations.sum())
    assert bool(result.best.matching_loss.isfinite().all())


@every_attack
def test_patience_that_outlasts_the_stages_changes_nothing(
    name: str, run: Run, results: dict[str, AttackResult]
) -> None:
    patient = run(replace(ATTACKS[name], patience=1000))
    for stage, expected in zip(patient.stages, results[name].stages, strict=True):
        assert all(torch.equal(getattr(stage, part), getattr(expected, part)) for part in (*PARTS, "steps_taken"))


@every_attack
def test_the_budget_is_the_number_of_victim_gradients_made(name: str, run: Run, used: list[Tensor]) -> None:
    told = replace(ATTACKS[name], restarts=3)
    result = run(told)
    steps = sum(stage.steps + 1 for stage in told.stages)
    assert len(torch.cat(used)) == len(SEEDS) * 3 * steps
    assert result.gradient_evaluations.tolist() == [3 * steps] * len(SEEDS)
    assert told.gradient_evaluations == 3 * steps


@every_attack
def test_images_are_in_range_and_scored_by_the_cosine_alone(
    name: str, results: dict[str, AttackResult], observation: Observation, lenet: Victim, target_labels: Tensor
) -> None:
    matching = CosineMatching(lenet, observation, target_labels, restarts=RESTARTS)
    for stage, told in zip(results[name].stages, ATTACKS[name].stages, strict=True):
        assert stage.stage == told
        assert stage.images.shape == (3, RESTARTS, 3, 16, 16)
        assert stage.loss_trace.shape == (3, RESTARTS, told.steps)
        assert float(stage.images.min()) >= 0
        assert float(stage.images.max()) <= 1
        scores = matching(stage.images.flatten(0, 1), differentiable=False).view(3, RESTARTS)
        torch.testing.assert_close(scores, stage.matching_loss, rtol=1e-10, atol=0)


@every_attack
def test_priors_are_searched_with_and_not_scored_with(
    name: str, run: Run, results: dict[str, AttackResult], lenet: Victim
) -> None:
    told = replace(ATTACKS[name], stages=ATTACKS[name].stages[:1], tv_weight=3.0)
    (rough,), plain = run(told).stages, results[name].stages[0]
    assert bool((rough.loss_trace[..., 0] > plain.loss_trace[..., 0] + 0.01).all())
    assert bool((rough.matching_loss < rough.loss_trace.amin(dim=2)).all())


@every_attack
def test_what_an_attack_returns_holds_no_graph(name: str, results: dict[str, AttackResult]) -> None:
    for stage in results[name].stages:
        for part in (*PARTS, "feature_radius", "latent_radius", "noise_radius", "feature_moved_l1"):
            found = getattr(stage, part)
            assert found is None or not found.requires_grad, part


@pytest.mark.parametrize("name", ["gifd", "gifd in turns", "gias", "weights of later layers", "ggl"])
def test_the_generator_is_left_as_it_was(name: str, run: Run, tiny_generator: StyleGan2Generator) -> None:
    before = {key: value.clone() for key, value in tiny_generator.network.state_dict().items()}
    start = tiny_generator.start(SEEDS)
    shown = tiny_generator.render(start)
    run(ATTACKS[name])
    after = tiny_generator.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert torch.equal(shown, tiny_generator.render(start))  # what was kept of the weights, too
    assert not any(parameter.requires_grad for parameter in tiny_generator.network.parameters())
    assert all(parameter.grad is None for parameter in tiny_generator.network.parameters())


class Untouchable:
    """A generator that nobody may look at."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"the generator was asked for {name}")


@pytest.mark.parametrize("name", [name for name, told in ATTACKS.items() if told.stages[0].kind == "pixels"])
def test_a_search_of_pixels_never_touches_a_generator(
    name: str, observation: Observation, lenet: Victim, results: dict[str, AttackResult]
) -> None:
    nobody: Generator = Untouchable()  # type: ignore[assignment]
    result = run_attack(observation, nobody, lenet, ATTACKS[name], seeds=SEEDS)
    assert torch.equal(result.stages[0].images, results[name].stages[0].images)


@pytest.mark.parametrize("name", [name for name, told in ATTACKS.items() if told.stages[0].kind != "pixels"])
def test_any_other_search_needs_its_generator(name: str, observation: Observation, lenet: Victim) -> None:
    with pytest.raises(AssertionError, match="the generator was asked for shape"):
        run_attack(observation, Untouchable(), lenet, ATTACKS[name], seeds=SEEDS)  # type: ignore[arg-type]


@every_attack
def test_labels_that_are_granted_are_used_in_place_of_inferred_ones(
    name: str,
    run: Run,
    observation: Observation,
    target_labels: Tensor,
    results: dict[str, AttackResult],
    used: list[Tensor],
) -> None:
    assert torch.equal(results[name].labels, target_labels)
    granted = torch.tensor([5, 0, 1])  # two of them wrong
    result = run(ATTACKS[name], seen=replace(observation, labels=granted))
    assert torch.equal(result.labels, granted)
    assert torch.cat(used).unique().tolist() == [0, 1, 5]
    same = torch.tensor([False, True, False])
    for before, after in zip(results[name].stages, result.stages, strict=True):
        assert torch.equal((before.matching_loss == after.matching_loss).all(dim=1), same)
