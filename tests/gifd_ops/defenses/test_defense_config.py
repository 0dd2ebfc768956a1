from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gifd_ops.config import AttackConfig
from gifd_ops.defenses.config import (
    ANSWERS,
    Answer,
    Clipping,
    Defense,
    DifferentialPrivacy,
    NoDefense,
    Noise,
    Soteria,
    Sparsification,
    Strength,
    answer_to,
    read_defense,
)
from gifd_ops.stages import PixelStage

positive = st.floats(1e-6, 1e6)
percents = st.floats(0, 100)
defenses = st.one_of(
    st.just(NoDefense()),
    st.builds(Noise, st.builds(Strength, st.floats(0, 1e6), st.booleans())),
    st.builds(Clipping, st.builds(Strength, positive, st.booleans())),
    st.builds(Sparsification, percents),
    st.builds(Soteria, percents),
    st.builds(DifferentialPrivacy, positive, st.floats(0, 1e6)),
)


@given(defenses)
def test_a_defense_is_read_as_it_is_written(defense: Defense) -> None:
    assert read_defense(str(defense)) == defense
    assert hash(read_defense(str(defense))) == hash(defense)


@pytest.mark.parametrize(
    ("text", "defense"),
    [
        ("none", NoDefense()),
        ("noise=0.01", Noise(Strength(0.01))),
        ("noise=0.1r", Noise(Strength(0.1, relative=True))),
        ("clipping=4", Clipping(Strength(4))),
        ("sparsification=20", Sparsification(20)),
        ("soteria=10", Soteria(10)),
        ("dp=1,0.5", DifferentialPrivacy(1, 0.5)),
    ],
)
def test_defenses_are_said_in_few_words(text: str, defense: Defense) -> None:
    assert read_defense(text) == defense
    assert str(defense) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("noise=-1", r"noise needs its std >= 0, got -1"),
        ("noise=nan", r"noise needs its std >= 0, got nan"),
        ("noise=inf", r"noise needs its std >= 0, got inf"),
        ("noise=loud", r"a defense's strength is a number, got 'loud'"),
        ("noise", r"given as noise=STD, got 'noise'"),
        ("none=1", r"given as none, got 'none=1'"),
        ("clipping=0", r"clipping needs its bound > 0, got 0; add r"),
        ("sparsification=101", r"sparsification takes a percentage from 0 to 100, got 101"),
        ("soteria=-1", r"soteria takes a percentage from 0 to 100, got -1"),
        ("soteria=10r", r"is a number, got '10r'"),
        ("dp=1", r"dp=C,S, got '1'"),
        ("dp=0,1", r"dp needs a bound C > 0"),
        ("dp=1,-1", r"noise multiplier S >= 0, got -1"),
        ("dp=1r,1", r"relative to the private gradient is not private"),
        ("sparcification=20", r"one of none, noise=STD, .* got 'sparcification=20'; did you mean sparsification\?"),
        ("quantize=4", r"got 'quantize=4'$"),
        ("", r"got ''$"),
    ],
)
def test_what_is_no_defense_is_refused_with_the_rule(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        read_defense(text)


@given(defenses, st.sampled_from(ANSWERS), st.floats(0, 1))
def test_an_answer_survives_json_inside_a_config(defense: Defense, how: str, strength: float) -> None:
    answer = Answer(defense=defense, how=how, strength=strength)
    stages = (PixelStage(steps=2, lr=0.1, signed=False),)
    config = AttackConfig(stages=stages, restarts=1, tv_weight=0.0, l2_weight=0.0, answer=answer)
    again = AttackConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.answer == answer
    assert again.fuse_key == config.fuse_key


def test_there_is_no_answer_to_nothing_and_none_of_who_ignores_it() -> None:
    assert answer_to(NoDefense(), "knows") is None
    assert answer_to(Soteria(10), "ignores") is None
    assert answer_to(Soteria(10), "knows", strength=0.5) == Answer(defense=Soteria(10), how="knows", strength=0.5)


@pytest.mark.parametrize(
    ("how", "strength", "rule"),
    [
        ("guesses", 1.0, r"knows, estimates, ignores or repeats a defense, got 'guesses'"),
        ("knows", 1.5, r"0 to 1, got"),
    ],
)
def test_an_answer_that_is_none_is_refused(how: str, strength: float, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        answer_to(Soteria(10), how, strength=strength)
