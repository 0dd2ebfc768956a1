from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.racing_error import NOISES, QUALITIES, stopped_shares
from study.search.racing import Race, critical_value, interim_looks

TARGETS = [f"target-{number}" for number in range(32)]
FINITE = st.floats(-50, 50, allow_nan=False)
SCORES = st.lists(FINITE, min_size=len(TARGETS), max_size=len(TARGETS))


def scores(values: list[float] | np.ndarray, *, of: int = len(TARGETS)) -> dict[str, float | None]:
    return {target: float(value) for target, value in zip(TARGETS[:of], values[:of], strict=True)}


def noise(seed: int) -> np.ndarray:
    return 20 + np.random.default_rng(seed).standard_normal(len(TARGETS))


def race_of(*finished: list[float] | np.ndarray, error: float = 0.10) -> Race:
    race = Race(looks=4, error=error)
    for trial, values in enumerate(finished):
        race.finish(trial, scores(values))
    return race


@given(SCORES, SCORES, st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_nothing_is_stopped_before_the_first_look(finished: list[float], running: list[float], pairs: int) -> None:
    assert not race_of(finished).stops(scores(running, of=pairs))


@given(st.lists(SCORES, min_size=1, max_size=5), st.sampled_from([8, 16, 24]))
@settings(max_examples=50, deadline=None)
def test_a_config_equal_to_the_incumbent_target_by_target_is_never_stopped(
    finished: list[list[float]], pairs: int
) -> None:
    race = race_of(*finished)
    assert race.incumbent is not None
    assert not race.stops(scores(finished[race.incumbent], of=pairs))


@pytest.mark.parametrize("finished", [1, 5, 40])
def test_a_hopeless_config_is_stopped_at_the_first_look(finished: int) -> None:
    race = race_of(*(noise(seed) for seed in range(finished)))
    assert race.stops(scores(noise(99) - 6, of=8))


def test_a_config_that_is_worse_by_the_same_on_every_target_is_stopped() -> None:
    assert race_of(noise(0)).stops(scores(noise(0) - 0.01, of=8))


def test_a_better_config_goes_on() -> None:
    assert not race_of(noise(0), noise(1)).stops(scores(noise(2) + 1, of=8))


def test_nothing_is_stopped_without_an_incumbent() -> None:
    race = Race(looks=4)
    assert race.incumbent is None
    assert not race.stops(scores(noise(0) - 9, of=8))


def test_a_whole_trial_is_not_stopped() -> None:
    assert not race_of(noise(0)).stops(scores(noise(1) - 9))


def test_a_diverged_row_stops_a_trial_at_its_first_look_and_keeps_it_from_winning() -> None:
    race = race_of(noise(0))
    broken = scores(noise(1) + 30) | {TARGETS[0]: None}
    race.finish(1, broken)
    assert race.incumbent == 0
    assert not race.stops({target: broken[target] for target in TARGETS[:7]})
    assert race.stops({target: broken[target] for target in TARGETS[:8]})


def test_the_incumbent_is_the_best_finished_trial_and_the_earlier_of_equals() -> None:
    race = race_of(noise(0), noise(0) + 1, noise(0) + 1, noise(0) - 1)
    assert race.incumbent == 1


def test_the_order_of_targets_does_not_matter() -> None:
    race = race_of(noise(0), noise(1))
    running = scores(noise(2) - 0.8, of=16)
    assert race.stops(running) == race.stops(dict(reversed(running.items())))


def test_the_same_calls_give_the_same_answers() -> None:
    newcomers = [scores(noise(100 + seed) - 0.6, of=8) for seed in range(40)]
    answers = [[race.stops(newcomer) for newcomer in newcomers] for race in (race_of(noise(0)), race_of(noise(0)))]
    assert answers[0] == answers[1]
    assert 0 < sum(answers[0]) < 40


def test_more_rivals_more_looks_and_a_smaller_error_make_a_race_more_patient() -> None:
    def critical(*, rivals: int = 4, sizes: tuple[int, ...] = (8, 16, 24), error: float = 0.1) -> float:
        return critical_value(8, of=32, sizes=sizes, rivals=rivals, error=error)

    assert critical(rivals=256) < critical() < 0
    assert critical() < critical(sizes=(8,))
    assert critical(error=0.02) < critical()


def test_one_look_at_one_finished_config_is_the_paired_t_test() -> None:
    one_sided_t_of_7 = -1.415  # 10 %
    assert critical_value(8, of=16, sizes=(8,), rivals=1, error=0.1) == pytest.approx(one_sided_t_of_7, abs=0.05)


@pytest.mark.parametrize(("targets", "looks", "expected"), [(32, 4, (8, 16, 24)), (12, 2, ()), (24, 4, (12, 18))])
def test_a_race_looks_after_blocks_that_have_enough_pairs(targets: int, looks: int, expected: tuple[int, ...]) -> None:
    assert interim_looks(targets, looks=looks) == expected


@pytest.mark.parametrize("option", [{"looks": 0}, {"error": 0.0}, {"error": 0.6}, {"first_look": 1}])
def test_a_race_that_makes_no_sense_is_refused(option: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        Race(**({"looks": 4} | option))  # type: ignore[arg-type]


@pytest.mark.parametrize(("quality", "kind"), [("equal", "normal"), ("equal", "heavy"), ("spread", "families")])
def test_equally_good_configs_are_seldom_stopped_though_the_incumbent_was_the_best_of_twelve(
    quality: str, kind: str
) -> None:
    shares, naive = stopped_shares(
        np.random.default_rng(0), noise=NOISES[kind], qualities=QUALITIES[quality],
        finished=12, looks=4, error=0.1, repeats=400,
    )  # fmt: skip
    assert shares[0] <= 0.1 + 3 * 0.015  # three standard errors of 400 repeats
    assert shares[3] >= 0.95  # 2 dB worse, twice the noise
    if quality == "equal":
        assert naive > 0.3  # what the correction is for
