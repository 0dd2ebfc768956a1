from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from search_spaces.base import Range
from study.search.samplers.registry import Question, tpe, tpe_of_window

PARAMETERS = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}


def a_history(early: float) -> optuna.Study:
    """Eighty trials: the first half is best of all, and lies at `early`; of the others those near 0.2 are good."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for number in range(80):
        x = early if number < 40 else (number % 20) / 20
        value = 10.0 if number < 40 else -abs(x - 0.2)
        params = {"x": x, "y": (number * 7 % 80) / 80}
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=value, params=params, distributions=PARAMETERS))
    return study


def answer(study: optuna.Study, *, windowed: bool) -> tuple[float, float]:
    question = Question(
        seed=3, study_seed=0, place=0, parameters={name: Range(0.0, 1.0) for name in PARAMETERS}, explore=False
    )
    study.sampler = (tpe_of_window if windowed else tpe)(question)
    trial = study.ask()
    return trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)


def test_tpe_of_a_window_is_not_moved_by_what_lies_outside_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.search.samplers.window.NUM_RECENT", 30)
    monkeypatch.setattr("study.search.samplers.window.NUM_BEST", 0)
    here, there = (answer(a_history(early), windowed=True) for early in (0.1, 0.9))
    assert here == there
    here, there = (answer(a_history(early), windowed=False) for early in (0.1, 0.9))
    assert here != there, "the early trials should matter to TPE of the whole history"
