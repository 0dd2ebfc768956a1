from __future__ import annotations

import pytest

from study.replay.stopping import Asha, Median, Never, Rule, rule_of
from study.search.racing import Race

PUBLISHED = {str(target): 20.0 for target in range(8)}


def after(targets: int, gain: float) -> dict[str, float | None]:
    return {str(target): 20.0 + gain for target in range(targets)}


def begun(rule: Rule) -> Rule:
    rule.finish(0, PUBLISHED)
    return rule


@pytest.mark.parametrize(("name", "kind"), [("off", Never), ("on", Race), ("asha", Asha), ("median", Median)])
def test_a_rule_is_found_by_its_name(name: str, kind: type) -> None:
    assert isinstance(rule_of(name, looks=4, targets_per_block=2, error=0.1), kind)


def test_asha_lets_the_better_half_of_a_rung_go_on() -> None:
    rule = begun(Asha(targets_per_block=2))
    assert [rule.stops(after(2, gain)) for gain in (0.0, 1.0, 0.4, 2.0, -1.0)] == [False, False, True, False, True]


def test_asha_stops_nothing_between_its_rungs() -> None:
    rule = begun(Asha(targets_per_block=2))
    assert not any(rule.stops(after(6, gain)) for gain in (3.0, 2.0, 1.0, 0.0))  # the third block


def test_the_median_counts_only_once_three_are_known() -> None:
    rule = begun(Median())
    assert [rule.stops(after(2, gain)) for gain in (3.0, 2.0, 1.0, 1.9, 2.1)] == [False, False, False, True, False]


@pytest.mark.parametrize("rule", [Asha(targets_per_block=2), Median()])
def test_a_diverged_row_ends_a_trial_and_a_whole_trial_is_left_alone(rule: Rule) -> None:
    begun(rule)
    assert rule.stops(after(2, 5.0) | {"0": None})
    assert not rule.stops(after(8, -5.0))
