"""What a space lets an attacker choose in view of defenses, local training and restarts."""

from __future__ import annotations

import random

import pytest

from gifd_ops.defenses.config import answer_to, read_defense
from gifd_ops.tasks import PORTRAITS
from search_spaces.base import Draw, Space
from search_spaces.batched import step_options
from search_spaces.reach import Faced
from search_spaces.registry import METHODS, get_space

SHAPE, BUDGET = PORTRAITS.generator_shape, 120


def names(space: Space) -> set[str]:
    return set(space.ranges(SHAPE, budget=BUDGET))


def facing(defense: str, how: str) -> Faced:
    return Faced(answer=answer_to(read_defense(defense), how))


@pytest.mark.parametrize(
    ("defense", "how", "method", "chosen"),
    [
        ("noise=1r", "knows", "gifd", True),
        ("sparsification=90", "estimates", "gifd", True),
        ("clipping=1", "knows", "gi", True),
        ("clipping=1", "knows", "gifd", False),  # a cosine sees no length
        ("noise=1r", "repeats", "gifd", False),
        ("noise=1r", "ignores", "gifd", False),
        ("none", "knows", "gifd", False),
    ],
)
def test_defended_adds_a_strength_where_it_makes_a_difference(
    defense: str, how: str, method: str, chosen: bool
) -> None:
    space = get_space("defended", method, faced=facing(defense, how))
    assert names(space) - names(get_space("ood", method)) == ({"answer_strength"} if chosen else set())


def test_the_search_begins_with_the_answer_in_full(answering: Space) -> None:
    likeness = answering.point({}, SHAPE, budget=BUDGET)
    assert likeness["answer_strength"] == 1
    changed = [change for change in answering.first_changes(SHAPE, budget=BUDGET) if "answer_strength" in change]
    assert changed == [{"answer_strength": 0.5}]


@pytest.fixture
def answering() -> Space:
    return get_space("defended", faced=facing("noise=1r", "knows"))


def test_other_spaces_answer_in_full_and_leave_no_choice() -> None:
    space = get_space("ood", faced=facing("noise=1r", "knows"))
    assert names(space) == names(get_space("ood"))
    config = space.suggest(Draw(random.Random(0)), SHAPE, budget=BUDGET)
    assert config.answer is not None
    assert config.answer.strength == 1
    assert space.published(SHAPE, budget=BUDGET).answer is None, "that is for the study to add"


def test_batched_adds_simulated_steps_only_where_clients_train() -> None:
    restarts = {"restarts_agree", "group_weight"}
    plain = names(get_space("ood"))
    assert names(get_space("batched")) - plain == restarts
    trained = get_space("batched", faced=Faced(local_steps=6))
    assert names(trained) - plain == restarts | {"simulated_steps"}
    assert trained.point({}, SHAPE, budget=BUDGET)["simulated_steps"] == 6
    assert names(get_space("batched", faced=Faced(restarts_alone=True))) == plain


@pytest.mark.parametrize(("steps", "options"), [(1, (1,)), (2, (1, 2)), (5, (1, 2, 4, 5)), (8, (1, 2, 4, 8))])
def test_steps_to_simulate_double_up_to_all(steps: int, options: tuple[int, ...]) -> None:
    assert step_options(steps) == options


@pytest.mark.parametrize("method", METHODS)
def test_every_method_walks_the_batched_space_on_its_budget(method: str) -> None:
    space = get_space("batched", method, faced=Faced(local_steps=4))
    for seed in range(50):
        assert space.suggest(Draw(random.Random(seed)), SHAPE, budget=BUDGET).gradient_evaluations == BUDGET
