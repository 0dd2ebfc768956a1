"""What a planted ledger knows of itself: parameters, their true effects by domain, and what every layer is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STRONG_DB, CONDITIONAL_DB, INTERACTION_DB, DOMAIN_DB, PATH_DB = 12.0, 1.6, 6.0, 3.0, 3.0


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One searched parameter: its range, the published value, and where an adaptive sampler goes."""

    name: str
    low: float
    high: float
    published: float
    favoured: float = 0.5  # place in the range, 0 to 1, around which the adaptive part of the search draws
    log: bool = False
    options: tuple[int, ...] | None = None
    of_balls: bool = False  # only there where `balls` is 1

    def at(self, places: Array) -> Array:
        """The values at places in [0, 1) of the range."""
        if self.options is not None:
            chosen = np.minimum((places * len(self.options)).astype(np.int64), len(self.options) - 1)
            return np.array(self.options, dtype=np.float64)[chosen]
        if self.log:
            return np.asarray(self.low * (self.high / self.low) ** places)
        return self.low + (self.high - self.low) * places

    def place(self, values: Array) -> Array:
        """The places in [0, 1] of values; of options, evenly apart."""
        if self.log:
            return np.asarray(np.log(values / self.low) / np.log(self.high / self.low))
        return (values - self.low) / (self.high - self.low)

    def described(self) -> list[object]:
        """As a plan names its parameters."""
        options = None if self.options is None else list(self.options)
        return [self.name, {"low": self.low, "high": self.high, "log": self.log, "options": options}]


def parameters(num_stages: int) -> tuple[Parameter, ...]:
    """The searched parameters, in order of their names; a trial has `num_stages` stages on average."""
    last = tuple(range(num_stages - 3, num_stages + 2))
    return (
        Parameter(name="balls", low=0, high=1, published=1, options=(0, 1)),
        Parameter(name="end_layer", low=last[0], high=last[-1], published=num_stages - 1, options=last),
        Parameter(
            name="feature_radius_last", low=0.1, high=5, published=0.5**0.5, log=True, favoured=0.8, of_balls=True
        ),
        Parameter(name="latent_radius", low=0.2, high=5, published=1, log=True, of_balls=True),
        Parameter(name="lr_first", low=0.02, high=0.4, published=0.1, log=True, favoured=0.6),
        Parameter(name="lr_last", low=0.002, high=0.4, published=0.1, log=True, favoured=0.85),
        Parameter(name="noise_radius", low=0.05, high=5, published=0.5, log=True, of_balls=True),
        Parameter(name="restarts", low=1, high=2, published=1, options=(1, 2)),
        Parameter(name="search_layer_1", low=0, high=1, published=1, options=(0, 1)),
        Parameter(name="steps_tilt", low=0.25, high=8, published=1, log=True, favoured=0.85),
        Parameter(name="tv_weight", low=1e-5, high=0.2, published=1e-4, log=True),
    )


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The true gain over the published recipe, in dB. With `null` every config is worth what the recipe is.

    lr_first: a parabola with its top at 0.6 of the (logarithmic) range, by far the largest effect. feature_radius_last:
    rises along its range, where it is there at all (`balls`). lr_last with steps_tilt: a product without any effect of
    either alone. tv_weight: rises in the first domain and falls in the last, evenly in between. end_layer: what the
    layers are worth (`path`), best early in the first domain and late in the last. All others: nothing.
    """

    domains: tuple[str, ...]
    num_stages: int
    null: bool = False

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What was searched."""
        return parameters(self.num_stages)

    @property
    def leaning(self) -> Array:
        """[domains] from 1 to -1: how far a domain is like the first."""
        return np.linspace(1.0, -1.0, len(self.domains)) if len(self.domains) > 1 else np.ones(1)

    @property
    def scale(self) -> float:
        """What all effects are multiplied by."""
        return 0.0 if self.null else 1.0

    @property
    def published(self) -> Array:
        """[parameters]: the published recipe in the space."""
        return np.array([parameter.published for parameter in self.parameters])

    def path(self) -> Array:
        """[domains, layers]: what ending at a layer is worth, in dB below the domain's best layer."""
        layers = np.arange(self.num_stages + 2)
        best = self.num_stages * (0.75 - 0.25 * self.leaning)
        return -self.scale * PATH_DB * ((layers - best[:, None]) / self.num_stages) ** 2

    def improvement(self, values: Array) -> Array:
        """[trials, domains] of `values` [trials, parameters], NaN where a trial lacks a parameter."""
        gain: Array = self._gain(values) - self._gain(self.published[None, :])
        return gain

    def _gain(self, values: Array) -> Array:
        places = {
            parameter.name: parameter.place(values[:, column])[:, None]
            for column, parameter in enumerate(self.parameters)
        }
        end = values[:, [parameter.name for parameter in self.parameters].index("end_layer")].astype(np.int64)
        strong = -STRONG_DB * (places["lr_first"] - 0.6) ** 2
        conditional = np.nan_to_num(CONDITIONAL_DB * (places["feature_radius_last"] - 0.5))
        interaction = INTERACTION_DB * (places["lr_last"] - 0.5) * (places["steps_tilt"] - 0.5)
        by_domain = DOMAIN_DB * (places["tv_weight"] - 0.5) * self.leaning
        return self.scale * (strong + conditional + interaction + by_domain) + self.path().T[end]

    def draw(
        self, rng: np.random.Generator, num_trials: int, *, random_share: float
    ) -> tuple[Array, NDArray[np.bool_]]:
        """(values [trials, parameters], whether a trial was drawn at random [trials]); trial 0 is the recipe.

        Random trials are uniform; the others close in on the favoured places as the search goes on.
        """
        columns = self.parameters
        is_random = rng.random(num_trials) < random_share
        is_random[: min(10, num_trials)] = True  # a sampler's startup
        is_random[0] = False
        favoured = np.array([parameter.favoured for parameter in columns])
        spread = np.linspace(0.35, 0.15, num_trials)[:, None]
        near = favoured + spread * rng.standard_normal((num_trials, len(columns)))
        near = 1 - np.abs(1 - np.abs(near))  # reflected at the ends of the range
        places = np.where(is_random[:, None], rng.random(near.shape), np.clip(near, 0.0, 1.0))
        values = np.stack([parameter.at(places[:, column]) for column, parameter in enumerate(columns)], axis=1)
        values[0] = self.published
        without_balls = values[:, [parameter.name for parameter in columns].index("balls")] == 0
        of_balls = np.array([parameter.of_balls for parameter in columns])
        values[without_balls[:, None] & of_balls] = np.nan
        return values, is_random

    def described(self) -> dict[str, object]:
        """What was planted, for `truth.json`; effects in dB over the whole range of a parameter."""
        effects = {parameter.name: {"kind": "inert", "range_db": 0.0} for parameter in self.parameters}
        by_domain = {name: DOMAIN_DB * lean for name, lean in zip(self.domains, self.leaning, strict=True)}
        if not self.null:
            effects |= {
                "lr_first": {"kind": "strong", "range_db": STRONG_DB * 0.6**2},
                "feature_radius_last": {"kind": "conditional", "on": "balls", "range_db": CONDITIONAL_DB},
                "lr_last": {"kind": "interaction", "with": "steps_tilt", "range_db": INTERACTION_DB / 2},
                "steps_tilt": {"kind": "interaction", "with": "lr_last", "range_db": INTERACTION_DB / 2},
                "tv_weight": {"kind": "domain", "range_db": by_domain},
                "end_layer": {"kind": "path"},
            }
        path = {name: list(row) for name, row in zip(self.domains, self.path().tolist(), strict=True)}
        return {"null": self.null, "parameters": effects, "path_db": path}
