"""Targets that do not fit into memory together are attacked in turn, and come to the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gifd_ops.attack import AttackResult, run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation, observe
from gifd_ops.passes import USED_SHARE, OutOfMemoryError, fitting_targets, is_out_of_memory, run_in_passes
from gifd_ops.portraits import draw
from gifd_ops.quirks import REFERENCE
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Radius, Stage, WeightStage
from gifd_ops.victims import Victim

SEEDS = (11, 22, 33, 44, 55)
MORE_THAN_THERE_IS = 2**50  # bytes
CPU = torch.device("cpu")
FEATURES = FeatureStage(
    layer=0, steps=2, lr=0.1, feature_radius=None, latent_radius=Radius(value=0.1, relative=True), noise_radius=None
)


def attack(*stages: Stage, restarts: int = 2, **told: Any) -> AttackConfig:
    return AttackConfig(stages=stages, restarts=restarts, tv_weight=1e-3, l2_weight=0.0, **told)


ATTACKS = {
    "gifd": attack(FEATURES, replace(FEATURES, layer=1)),
    "gifd in turns": attack(FEATURES, replace(FEATURES, layer=1), quirks=REFERENCE),
    "gias": attack(FEATURES, WeightStage(steps=1, lr=0.01)),
    "ggl": attack(EvolutionStage(steps=4, population=4, sigma=1.0, own_slots=True, full_covariance=False)),
    "gi": attack(PixelStage(steps=2, lr=0.1, signed=False), distance="l2", group_weight=1.0),
}


@dataclass(frozen=True)
class Cramped:
    """A generator in a memory of so many rows: more are refused by the allocator itself."""

    generator: StyleGan2Generator
    most_rows: int
    rendered: list[int] = field(default_factory=list)

    def render(self, features: Features) -> torch.Tensor:
        self.rendered.append(features.num_rows)
        if features.num_rows > self.most_rows:
            torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8)
        return self.generator.render(features)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)


@pytest.fixture(scope="module")
def seen(lenet: Victim) -> Observation:
    images, labels = draw([14, 20, 39, 40, 41], domain="photo", size_px=16)
    return observe(lenet, images.double(), labels, share_statistics=True)


def check_same(found: AttackResult, expected: AttackResult) -> None:
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.gradient_evaluations, expected.gradient_evaluations)
    assert found.restart_select == expected.restart_select
    for one, other in zip(found.stages, expected.stages, strict=True):
        assert one.stage == other.stage
        for name in set(vars(one)) - {"stage"}:
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("max_rows", [1, 2, 5, 6, 100])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_of_few_rows_at_a_time_is_the_attack_of_all(
    name: str, max_rows: int, seen: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    together = run_attack(seen, tiny_generator, lenet, ATTACKS[name], seeds=SEEDS)
    cramped = Cramped(tiny_generator, most_rows=100)
    in_turn = run_attack(seen, cramped, lenet, ATTACKS[name], seeds=SEEDS, max_rows=max_rows)
    check_same(in_turn, together)
    assert max(cramped.rendered, default=0) <= max(2, max_rows)  # a target is never taken apart


@pytest.mark.parametrize("name", ["gifd", "ggl"])
@pytest.mark.parametrize(("most_rows", "tried"), [(10, [10]), (9, [10, 4]), (5, [10, 4]), (3, [10, 4, 2])])
def test_a_pass_for_which_memory_does_not_last_is_halved_and_comes_to_the_same(
    name: str, most_rows: int, tried: list[int], seen: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    expected = run_attack(seen, tiny_generator, lenet, ATTACKS[name], seeds=SEEDS)
    cramped = Cramped(tiny_generator, most_rows=most_rows)
    check_same(run_attack(seen, cramped, lenet, ATTACKS[name], seeds=SEEDS), expected)
    assert list(dict.fromkeys(cramped.rendered))[: len(tried)] == tried
    assert [rows for rows in cramped.rendered if rows > most_rows] == [rows for rows in tried if rows > most_rows]


def test_a_target_that_does_not_fit_alone_is_an_error_that_says_what_there_is_and_what_to_do(
    seen: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    cramped = Cramped(tiny_generator, most_rows=1)
    with pytest.raises(
        OutOfMemoryError, match=rf"cpu has \d+\.\d of \d+\.\d GiB free \(.*{MORE_THAN_THERE_IS}.*\); lower restarts"
    ):
        run_attack(seen, cramped, lenet, ATTACKS["gifd"], seeds=SEEDS)
    assert cramped.rendered == [10, 4, 2]


def test_other_errors_are_not_tried_again() -> None:
    tried = []

    def broken(targets: range) -> AttackResult:
        tried.append(targets)
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        run_in_passes(broken, count=4, at_once=4, device=CPU)
    assert tried == [range(4)]


def test_what_allocators_raise_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator"))


@given(
    row=st.integers(1, 10**9),
    beside=st.integers(0, 10**10),
    free=st.integers(0, 10**11),
    restarts=st.integers(1, 8),
    num_targets=st.integers(1, 100),
)
def test_as_many_targets_fit_as_there_is_memory_for_and_one_is_always_tried(
    row: int, beside: int, free: int, restarts: int, num_targets: int
) -> None:
    fit = fitting_targets(beside + row, beside + 2 * row, free_bytes=free, rows_each=restarts, num_targets=num_targets)
    needs = lambda targets: beside + targets * restarts * row
    assert 1 <= fit <= num_targets
    assert fit == 1 or needs(fit) <= USED_SHARE * free
    assert fit == num_targets or needs(fit + 1) > int(USED_SHARE * free)
