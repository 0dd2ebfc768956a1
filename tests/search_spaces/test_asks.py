"""Where a space gets its answers from: stored, drawn or fixed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.base import Draw, Frozen, Prefer, Range, Replay


class Extreme(random.Random):
    """A stream that always says the same share."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def random(self) -> float:
        return self.share


bounds = st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)).map(sorted).filter(lambda pair: pair[0] < pair[1])
shares = st.floats(0, 1 - 1e-9)


@given(bounds, shares, st.booleans())
def test_a_drawn_real_is_in_its_range_and_recorded_as_it_was_answered(
    bound: list[float], share: float, log: bool
) -> None:
    draw = Draw(Extreme(share))
    value = draw.real("x", *bound, log=log)
    assert bound[0] <= value <= bound[1]
    assert draw.params == {"x": value}
    assert Replay(draw.params).real("x", *bound, log=log) == value


def test_a_draw_that_rounds_past_its_range_is_recorded_as_it_was_answered() -> None:
    draw = Draw(Extreme(math.nextafter(1, 0)))
    value = draw.real("x", 1.5038534379811044, 1.6308208666559312, log=True)
    assert draw.params == {"x": value}


def test_a_log_draw_is_as_often_below_the_geometric_mean_as_above() -> None:
    draw = Draw(random.Random(0))
    below = sum(draw.real("x", 1e-4, 1.0, log=True) < 1e-2 for _ in range(2000))
    assert 900 < below < 1100
    linear = sum(draw.real("x", 1e-4, 1.0) < 1e-2 for _ in range(2000))
    assert linear < 60


def test_every_option_is_drawn() -> None:
    draw = Draw(random.Random(0))
    assert {draw.choice("x", (1, 2, 5)) for _ in range(100)} == {1, 2, 5}
    assert draw.ranges == {"x": Range(1, 5, options=(1, 2, 5))}


@pytest.mark.parametrize(
    ("ask", "rule"),
    [
        (lambda replay: replay.real("x", 0.1, 2.0, log=True), r"'x' \(0.1 to 2 \(log\)\).*lack"),
        (lambda replay: replay.choice("x", (1, 2)), r"'x' \(one of 1, 2\).*lack"),
    ],
)
def test_a_missing_value_is_named_with_its_rule(ask, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        ask(Replay({"y": 1.0}))


@pytest.mark.parametrize("value", [0.0999, 2.0001, -1.0, math.inf, math.nan])
def test_a_real_out_of_its_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=rf"x must be 0.1 to 2 \(log\), got {value:g}"):
        Replay({"x": value}).real("x", 0.1, 2.0, log=True)


@pytest.mark.parametrize("value", [0, 3, 1.5, math.nan])
def test_a_choice_that_is_no_option_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=rf"x must be one of 1, 2, 4, got {value:g}"):
        Replay({"x": value}).choice("x", (1, 2, 4))


def test_both_ends_of_a_range_are_allowed_and_choices_come_back_whole() -> None:
    replay = Replay({"low": 0.1, "high": 2.0, "option": 4.0})
    assert (replay.real("low", 0.1, 2.0), replay.real("high", 0.1, 2.0)) == (0.1, 2.0)
    option = replay.choice("option", (1, 2, 4))
    assert option == 4
    assert isinstance(option, int)


def test_frozen_answers_what_is_fixed_passes_on_the_rest_and_records_all() -> None:
    inner = Draw(random.Random(0))
    frozen = Frozen(inner, {"lr": 0.3, "restarts": 2})
    answers = {
        "lr": frozen.real("lr", 0.1, 1.0),
        "restarts": frozen.choice("restarts", (1, 2, 4)),
        "tv": frozen.real("tv", 1e-5, 1e-1, log=True),
        "layer": frozen.choice("layer", (0, 1, 2)),
    }
    assert (answers["lr"], answers["restarts"]) == (0.3, 2)
    assert frozen.params == answers
    assert inner.params == {"tv": answers["tv"], "layer": answers["layer"]}  # what is fixed was never asked


def test_a_fixed_value_out_of_range_is_refused() -> None:
    frozen = Frozen(Draw(random.Random(0)), {"lr": 3.0, "restarts": 5})
    with pytest.raises(ValueError, match=r"lr must be 0\.1 to 1, got 3"):
        frozen.real("lr", 0.1, 1.0)
    with pytest.raises(ValueError, match="restarts must be one of 1, 2, got 5"):
        frozen.choice("restarts", (1, 2))


def test_a_preferred_value_is_taken_as_far_as_the_range_allows() -> None:
    ask = Prefer({"lr": 9.0, "layer": 7})
    assert ask.real("lr", 0.1, 0.4) == 0.4
    assert ask.choice("layer", (0, 1, 2)) == 2
    assert ask.real("other", 0.01, 1.0, log=True) == pytest.approx(0.1)
    assert ask.params == {"lr": 0.4, "layer": 2, "other": pytest.approx(0.1)}
