"""Configs that run as one batch come to what each comes to alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from gifd_ops.attack import AttackResult, OutOfMemoryError, StageResult, run_attack, run_attacks
from gifd_ops.config import AttackConfig
from gifd_ops.fusing import Fused, fusible
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation, observe
from gifd_ops.portraits import draw
from gifd_ops.quirks import REFERENCE, Quirks
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Radius, Stage, WeightStage
from gifd_ops.victims import Victim

SEEDS = (11, 22, 33)
MORE_THAN_THERE_IS = 2**50  # bytes
LATENT = FeatureStage(layer=0, steps=3, lr=0.1, feature_radius=None, latent_radius=None, noise_radius=None)
PIXELS = PixelStage(steps=4, lr=0.1, signed=False)


def relative(value: float) -> Radius:
    return Radius(value=value, relative=True)


def absolute(value: float) -> Radius:
    return Radius(value=value, relative=False)


def attack(*stages: Stage, restarts: int = 2, tv_weight: float = 1e-3, **told: Any) -> AttackConfig:
    return AttackConfig(stages=stages, restarts=restarts, **({"tv_weight": tv_weight, "l2_weight": 1e-4} | told))


PLAIN = attack(LATENT, replace(LATENT, layer=1), replace(LATENT, layer=2))
HELD = attack(
    replace(LATENT, steps=5, lr=0.03, decay="steps", latent_radius=relative(0.05), noise_radius=absolute(3.0)),
    replace(LATENT, layer=1, steps=2, lr=0.3, feature_radius=absolute(2.0), noise_radius=relative(0.02)),
    replace(LATENT, layer=2, steps=4, lr=0.1, feature_radius=relative(0.02), latent_radius=absolute(0.5)),
    tv_weight=0.0,
)
SHORT = replace(PLAIN, stages=tuple(replace(stage, steps=1) for stage in PLAIN.stages), tv_weight=0.1, l2_weight=0.0)
WILD = replace(PLAIN, stages=(replace(LATENT, lr=1e300), *PLAIN.stages[1:]))
BY_PIXELS = [
    attack(replace(PIXELS, steps=steps, lr=lr), tv_weight=tv) for steps, lr, tv in ((4, 0.1, 0.0), (7, 1, 0.1))
]


@pytest.fixture(scope="module")
def seen(lenet: Victim) -> Observation:
    images, labels = draw([14, 20, 39], domain="photo", size_px=16)
    return observe(lenet, images.double(), labels)


Run = Callable[..., list[AttackResult]]


@pytest.fixture(scope="module")
def run(seen: Observation, tiny_generator: StyleGan2Generator, lenet: Victim) -> Run:
    def run(*configs: AttackConfig, generator: Any = tiny_generator, **options: Any) -> list[AttackResult]:
        return run_attacks(seen, generator, lenet, configs, seeds=SEEDS, **options)

    return run


@pytest.fixture(scope="module")
def alone(seen: Observation, tiny_generator: StyleGan2Generator, lenet: Victim) -> Callable[..., AttackResult]:
    def alone(config: AttackConfig) -> AttackResult:
        return run_attack(seen, tiny_generator, lenet, config, seeds=SEEDS)

    return alone


def check_same(found: AttackResult, expected: AttackResult) -> None:
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.gradient_evaluations, expected.gradient_evaluations)
    assert found.restart_select == expected.restart_select
    for one, other in zip(found.stages, expected.stages, strict=True):
        assert one.stage == other.stage
        for name in [each.name for each in fields(StageResult) if each.name != "stage"]:
            own, known = getattr(one, name), getattr(other, name)
            assert (own is None) == (known is None), name
            if own is not None:
                torch.testing.assert_close(own, known, rtol=1e-9, atol=1e-9, equal_nan=True)


def check_fused(run: Run, alone: Callable[..., AttackResult], configs: Sequence[AttackConfig]) -> None:
    assert len({config.fuse_key for config in configs}) == 1
    for found, config in zip(run(*configs), configs, strict=True):
        check_same(found, alone(config))


radii = st.none() | st.floats(0.01, 0.2).map(relative) | st.floats(0.1, 3.0).map(absolute)
weights = st.sampled_from([0.0, 1e-3, 0.1])


@st.composite
def alike(draw: st.DrawFn) -> list[AttackConfig]:
    """Two or three configs of one schedule."""
    layers = sorted(draw(st.sets(st.integers(0, 2), min_size=1)))
    noises, restarts, patience = draw(st.booleans()), draw(st.integers(1, 2)), draw(st.sampled_from([0, 2]))
    quirks = draw(st.sampled_from([Quirks(), Quirks(stage_image="before_update", first_step="zero", spherical="on")]))

    def stage(layer: int) -> FeatureStage:
        return FeatureStage(
            layer=layer,
            steps=draw(st.integers(1, 5)),
            lr=draw(st.sampled_from([0.01, 0.1, 1.0])),
            decay=draw(st.sampled_from(["ramp", "steps"])),
            feature_radius=draw(radii),
            latent_radius=draw(radii),
            noise_radius=draw(radii),
            noises=noises,
        )

    return [
        AttackConfig(
            stages=tuple(stage(layer) for layer in layers),
            restarts=restarts,
            tv_weight=draw(weights),
            l2_weight=draw(weights),
            patience=patience,
            quirks=quirks,
        )
        for _ in range(draw(st.integers(2, 3)))
    ]


@settings(deadline=None, max_examples=15)
@given(alike())
def test_fused_configs_come_to_what_each_comes_to_alone(
    run: Run, alone: Callable[..., AttackResult], configs: list[AttackConfig]
) -> None:
    check_fused(run, alone, configs)


@pytest.mark.parametrize(
    "configs",
    [
        (PLAIN, HELD, SHORT),
        [replace(config, distance="l2", matched_layers=(0, 2)) for config in (HELD, PLAIN)],
        BY_PIXELS,
        [replace(config, stages=(replace(config.stages[0], signed=True),)) for config in BY_PIXELS],
        (PLAIN, PLAIN),
    ],
    ids=["balls, steps and weights", "l2", "pixels", "signed pixels", "one config twice"],
)
def test_what_configs_differ_in_stays_with_each(
    run: Run, alone: Callable[..., AttackResult], configs: Sequence[AttackConfig]
) -> None:
    check_fused(run, alone, configs)


def test_shared_statistics_are_those_of_each_rows_target(tiny_generator: StyleGan2Generator) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        convolution = nn.Conv2d(3, 4, 3, stride=4, padding=1)
        layers = nn.Sequential(convolution, nn.BatchNorm2d(4), nn.Sigmoid(), nn.Flatten(), nn.Linear(64, 10))
    victim = Victim(layers, pixel_mean=0.5, pixel_std=0.25).double()
    images, labels = draw([14, 20], domain="photo", size_px=16)
    seen = observe(victim, images.double(), labels, share_statistics=True)
    configs = [replace(config, statistics_weight=0.1) for config in (HELD, PLAIN)]
    together = run_attacks(seen, tiny_generator, victim, configs, seeds=SEEDS[:2])
    for found, config in zip(together, configs, strict=True):
        check_same(found, run_attack(seen, tiny_generator, victim, config, seeds=SEEDS[:2]))


def test_a_config_that_diverges_leaves_the_others_alone(run: Run, alone: Callable[..., AttackResult]) -> None:
    diverged, *others = run(WILD, HELD, PLAIN)
    assert bool(diverged.stages[1].matching_loss.isnan().all())
    assert bool((diverged.stages[1].steps_taken == 0).all())
    for found, config in zip(others, (HELD, PLAIN), strict=True):
        assert bool(found.best.matching_loss.isfinite().all())
        check_same(found, alone(config))


def test_every_config_is_told_what_it_spent_and_no_row_costs_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    original = functional.cross_entropy

    def counted(logits: Tensor, labels: Tensor, **options: str) -> Tensor:
        rows.append(len(logits))
        return original(logits, labels, **options)

    monkeypatch.setattr(functional, "cross_entropy", counted)
    configs = (PLAIN, HELD, SHORT)
    results = run(*configs)
    for found, config in zip(results, configs, strict=True):
        assert found.gradient_evaluations.tolist() == [config.gradient_evaluations] * len(SEEDS)
        for one, stage in zip(found.stages, config.stages, strict=True):
            assert one.loss_trace.shape == (len(SEEDS), config.restarts, stage.steps)
            assert bool(one.loss_trace.isfinite().all())
    assert sum(rows) == sum(int(found.gradient_evaluations.sum()) for found in results)
    most_looks = [max(config.stages[index].steps for config in configs) + 1 for index in range(3)]
    assert len(rows) == sum(most_looks)  # in as many looks as the longest config of each stage alone


@dataclass(frozen=True)
class Cramped:
    """A generator in a memory of so many rows: more are refused by the allocator itself."""

    generator: StyleGan2Generator
    most_rows: int = 10**6
    rendered: list[int] = field(default_factory=list)

    def render(self, features: Features) -> Tensor:
        self.rendered.append(features.num_rows)
        if features.num_rows > self.most_rows:
            torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8)
        return self.generator.render(features)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)


def begun(rendered: list[int]) -> list[int]:
    """Rows of each batch: a batch grows fewer as it goes."""
    return [rows for before, rows in zip([0, *rendered], rendered, strict=False) if rows != before]


TWINS = (SHORT, replace(SHORT, tv_weight=0.0), replace(SHORT, tv_weight=0.2))  # 2 rows a target each, 3 targets


@pytest.mark.parametrize(
    ("max_rows", "batches"),
    [(None, [18]), (17, [12, 6]), (11, [6]), (6, [6]), (5, [4, 2]), (3, [2]), (1, [2])],
    ids=str,
)
def test_no_more_rows_are_fused_than_asked_for_but_a_config_is_never_taken_apart(
    max_rows: int | None, batches: list[int], run: Run, tiny_generator: StyleGan2Generator
) -> None:
    cramped = Cramped(tiny_generator)
    found = run(*TWINS, generator=cramped, max_rows=max_rows)
    assert list(dict.fromkeys(begun(cramped.rendered))) == batches
    for one, other in zip(found, run(*TWINS), strict=True):
        check_same(one, other)


@pytest.mark.parametrize(("most_rows", "tried"), [(17, [18, 6]), (5, [18, 6, 2])])
def test_where_memory_does_not_last_fewer_targets_run_at_once_then_fewer_configs(
    most_rows: int, tried: list[int], run: Run, tiny_generator: StyleGan2Generator
) -> None:
    cramped = Cramped(tiny_generator, most_rows)
    found = run(*TWINS, generator=cramped)
    assert [rows for rows in cramped.rendered if rows > most_rows][:2] == [rows for rows in tried if rows > most_rows]
    assert list(dict.fromkeys(cramped.rendered))[: len(tried)] == tried
    for one, other in zip(found, run(*TWINS), strict=True):
        check_same(one, other)


def test_a_config_that_does_not_fit_alone_is_an_error(run: Run, tiny_generator: StyleGan2Generator) -> None:
    cramped = Cramped(tiny_generator, most_rows=1)
    with pytest.raises(OutOfMemoryError, match=r"^one target needs more memory than there is: cpu has") as caught:
        run(*TWINS, generator=cramped)
    assert str(caught.value).count("one target needs") == 1
    assert cramped.rendered[-1] == 2


OTHER = {
    "layers": attack(*PLAIN.stages[:2]),
    "restarts": replace(PLAIN, restarts=1),
    "quirks": replace(PLAIN, quirks=Quirks(rgb_skip="drop")),
    "distance": replace(PLAIN, distance="l2"),
    "turns": replace(PLAIN, quirks=REFERENCE),
    "weights": attack(LATENT, WeightStage(steps=1, lr=0.01)),
    "evolution": attack(EvolutionStage(steps=4, population=4, sigma=1.0, own_slots=True, full_covariance=False)),
    "restarts that pull": attack(PIXELS, group_weight=1.0),
    "pixels": BY_PIXELS[0],
}


def test_configs_that_may_not_be_fused_run_one_after_another_and_come_back_in_order(
    run: Run, alone: Callable[..., AttackResult]
) -> None:
    configs = [HELD, *OTHER.values(), PLAIN]
    for found, config in zip(run(*configs), configs, strict=True):
        assert [one.stage for one in found.stages] == list(config.stages)
        check_same(found, alone(config))


def test_configs_are_grouped_by_key_and_those_without_stay_alone() -> None:
    taking_turns = OTHER["turns"]
    assert fusible([PLAIN, taking_turns, *BY_PIXELS, HELD, taking_turns]) == [[0, 4], [1], [2, 3], [5]]
    assert fusible([]) == []


def test_all_is_checked_before_any_work(run: Run, tiny_generator: StyleGan2Generator) -> None:
    cramped, too_deep = Cramped(tiny_generator), attack(replace(LATENT, layer=3))
    with pytest.raises(ValueError, match=r"layer 3 needs a generator with more layers.*0 to 2"):
        run(PLAIN, too_deep, generator=cramped)
    assert cramped.rendered == []


def test_rows_lie_target_by_target_then_config_by_config() -> None:
    fused = Fused((PLAIN, HELD))
    rows = torch.arange(3 * fused.rows_per_target)
    assert fused.part(0, rows).tolist() == [[0, 1], [4, 5], [8, 9]]
    assert fused.part(1, rows).tolist() == [[2, 3], [6, 7], [10, 11]]
    first = fused.stages_of_rows(3)[0]
    assert first == (PLAIN.stages[0], PLAIN.stages[0], HELD.stages[0], HELD.stages[0]) * 3
