"""Which defense a client uses, how strong, and how the attacker answers. Standard library only, and hashable.

    read_defense("noise=0.1r")  ->  Noise(Strength(0.1, relative=True));  str() of it is "noise=0.1r" again

An `r` behind a strength makes it relative to the norm of the very gradient that is defended: gradients of different
victims differ by orders of magnitude, so an absolute strength says nothing across them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args


@dataclass(frozen=True)
class Strength:
    """A number, or a multiple of the gradient's norm (`relative`)."""

    value: float
    relative: bool = False

    def __str__(self) -> str:
        return f"{_short(self.value)}{'r' if self.relative else ''}"

    @classmethod
    def read(cls, text: str) -> Strength:
        """A strength as `str` writes it; ValueError for what is no number."""
        relative = text.strip().endswith("r")
        return cls(_number(text.strip().removesuffix("r")), relative)


@dataclass(frozen=True)
class NoDefense:
    """The gradient as it is."""

    def __str__(self) -> str:
        return "none"


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on every entry (Zhu et al., NeurIPS 2019; std 0.01 in the authors' settings).

    std: of the noise. Relative, it is the norm of the whole noise, as a multiple of the gradient's: its std is then
    value |g| / sqrt(number of entries).
    """

    std: Strength

    def __post_init__(self) -> None:
        _check_strength("noise", self.std, rule="its std >= 0", holds=self.std.value >= 0)

    def __str__(self) -> str:
        return f"noise={self.std}"


@dataclass(frozen=True)
class Clipping:
    """A gradient longer than `bound` is scaled down to that length, over all tensors together (4 in the authors')."""

    bound: Strength

    def __post_init__(self) -> None:
        _check_strength("clipping", self.bound, rule="its bound > 0", holds=self.bound.value > 0)

    def __str__(self) -> str:
        return f"clipping={self.bound}"


@dataclass(frozen=True)
class Sparsification:
    """In every tensor the entries below the `percent`-th percentile of magnitude are set to 0 (20 in the authors').

    Gradient compression, as in Zhu et al. (NeurIPS 2019).
    """

    percent: float

    def __post_init__(self) -> None:
        _check_percent("sparsification", self.percent)

    def __str__(self) -> str:
        return f"sparsification={_short(self.percent)}"


@dataclass(frozen=True)
class Soteria:
    """`percent` of the features that enter the last linear layer have no gradient there (Sun et al., CVPR 2021).

    They are those that tell most of the image for what they add to the loss: least |dr/dx| / |r| (10 in the authors').
    """

    percent: float

    def __post_init__(self) -> None:
        _check_percent("soteria", self.percent)

    def __str__(self) -> str:
        return f"soteria={_short(self.percent)}"


@dataclass(frozen=True)
class DifferentialPrivacy:
    """One private release: every example's gradient clipped to `bound`, noise of std `noise * bound` on the sum.

    No subsampling, no composition (Abadi et al., CCS 2016, for one step). The bound is a number: one taken from the
    private gradient would itself tell of it. `gifd_ops/defenses/privacy.py` says which epsilon this is.
    """

    bound: float
    noise: float

    def __post_init__(self) -> None:
        if not 0 < self.bound < math.inf:
            raise ValueError(f"dp needs a bound C > 0 on each example's gradient, got {self.bound}; say dp=C,S")
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"dp needs a noise multiplier S >= 0, got {self.noise}; say dp=C,S")

    def __str__(self) -> str:
        return f"dp={_short(self.bound)},{_short(self.noise)}"


Defense = NoDefense | Noise | Clipping | Sparsification | Soteria | DifferentialPrivacy
How = Literal["knows", "estimates", "ignores", "repeats"]
ANSWERS: tuple[How, ...] = get_args(How)
FORMS = ("none", "noise=STD", "clipping=BOUND", "sparsification=PERCENT", "soteria=PERCENT", "dp=BOUND,NOISE")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the attacker makes of a defense (`gifd_ops/defenses/answers.py` does it).

    defense: what the attacker knows to be at work. how: `knows` its strength; `estimates` it, from the shared gradient
    alone, whatever `defense` says of it; `repeats` does to its own gradients what was done to the shared one, as the
    authors' code does. `ignores` is no answer at all: `answer_to` says None. strength: how far the search goes along, 0
    (all entries weigh alike) to 1; results are compared as if it were 1, so that no choice can flatter itself.
    """

    defense: Defense
    how: How
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.how not in ANSWERS:
            raise ValueError(f"an attacker {', '.join(ANSWERS[:-1])} or {ANSWERS[-1]} a defense, got {self.how!r}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"the strength of an answer is 0 to 1, got {self.strength}; 1 answers in full")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"defense": str(self.defense), "how": self.how, "strength": self.strength}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Answer:
        """The answer that `to_dict` wrote."""
        return cls(defense=read_defense(values["defense"]), how=values["how"], strength=values["strength"])


def answer_to(defense: Defense, how: How, *, strength: float = 1.0) -> Answer | None:
    """The attacker's answer, None where there is nothing to answer or the attacker ignores it."""
    answer = Answer(defense=defense, how=how, strength=strength)  # checked even where it comes to nothing
    return None if how == "ignores" or isinstance(defense, NoDefense) else answer


def read_defense(text: str) -> Defense:
    """A defense as `str` writes it, such as `noise=0.01`, `clipping=0.5r`, `dp=1,0.5` or `none`.

    Raises ValueError with the rule, what was given, and how to say it.
    """
    name, equals, told = text.strip().partition("=")
    if name not in _READERS:
        near = get_close_matches(name, _READERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"a defense is one of {', '.join(FORMS)}; got {text!r}{hint}")
    if (name == "none") == bool(equals):
        form = next(form for form in FORMS if form.partition("=")[0] == name)
        raise ValueError(f"this defense is given as {form}, got {text!r}")
    return _READERS[name](told)


def _read_dp(told: str) -> DifferentialPrivacy:
    bound, comma, noise = told.partition(",")
    if not comma:
        raise ValueError(f"dp takes a bound and a noise multiplier, dp=C,S, got {told!r}")
    if "r" in told:
        raise ValueError(
            f"dp takes plain numbers, got {told!r}: a bound relative to the private gradient is not private; measure "
            "the norm on public images, and give that"
        )
    return DifferentialPrivacy(_number(bound), _number(noise))


_READERS: dict[str, Callable[[str], Defense]] = {
    "none": lambda told: NoDefense(),
    "noise": lambda told: Noise(Strength.read(told)),
    "clipping": lambda told: Clipping(Strength.read(told)),
    "sparsification": lambda told: Sparsification(_number(told)),
    "soteria": lambda told: Soteria(_number(told)),
    "dp": _read_dp,
}


def _check_strength(name: str, strength: Strength, *, rule: str, holds: bool) -> None:
    if not holds or not math.isfinite(strength.value):
        raise ValueError(f"{name} needs {rule}, got {strength}; add r to make it relative to the gradient's norm")


def _check_percent(name: str, percent: float) -> None:
    if not 0 <= percent <= 100:
        raise ValueError(f"{name} takes a percentage from 0 to 100, got {percent:g}; 0 leaves the gradient as it is")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"a defense's strength is a number, got {text!r}") from None


def _short(value: float) -> str:
    """The shortest text that reads as the same number."""
    text = f"{value:g}"
    return text if float(text) == value else repr(value)
