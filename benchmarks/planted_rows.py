"""The rows of a planted ledger: scores drawn around their truth, laid out as a study's tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.planted_truth import Array, Truth
from gifd_ops.seeds import derive_seed
from study.schema import QUIRKS, TABLES

Columns = Mapping[str, object]

DOMAINS = ("photo", "art", "cartoon", "sketch")
PER_BLOCK = 2  # targets of each domain
FIRST_IDS = {"tune": 1_000_000, "select": 2_000_000, "test": 3_000_000}
HARDNESS_DB, HARDNESS_SPREAD_DB, STAGE_NOISE_DB = 17.0, 3.0, 0.3
BUDGET = 120


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What is planted, and how much of it."""

    trials: int
    targets_per_domain: int
    test_targets_per_domain: int = 8
    domains: tuple[str, ...] = DOMAINS
    stages: int = 10  # on average
    random_share: float = 0.2
    diverged_share: float = 0.02  # of trials, which lose a fifth of their rows
    noise_db: float = 0.6
    null: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trials < 1 or self.targets_per_domain < 1 or self.test_targets_per_domain < 1 or not self.domains:
            raise ValueError("a ledger needs a trial, a target per domain and a domain at least; give larger numbers")
        if self.stages < 3:
            raise ValueError(f"trials end at five different layers, so --stages is 3 at least, got {self.stages}")
        if len(set(self.domains)) < len(self.domains):
            raise ValueError(f"domains are named once each, got {', '.join(self.domains)}")

    @property
    def truth(self) -> Truth:
        """The effects."""
        return Truth(domains=self.domains, num_stages=self.stages, null=self.null)

    @property
    def steered(self) -> tuple[str, ...]:
        """The domains that the search would have been steered by: all but photos, if there are others."""
        return tuple(name for name in self.domains if name != "photo") or self.domains


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The targets of a split, in the order of a trial's rows: by block, then by domain."""

    split: str
    domain: NDArray[np.int32]  # index into the ledger's domains
    block: NDArray[np.int32]
    number: NDArray[np.int64]
    hardness: Array
    names: pa.Array = field(repr=False)

    @classmethod
    def of(cls, ledger: Ledger, split: str) -> Targets:
        """The targets of `split`; the same for every phase that uses it."""
        each = ledger.targets_per_domain if split == "tune" else ledger.test_targets_per_domain
        index, domain = np.divmod(np.arange(each * len(ledger.domains)), len(ledger.domains))
        order = np.lexsort((index, domain, index // PER_BLOCK))
        index, domain = index[order], domain[order]
        number = FIRST_IDS[split] + index * len(ledger.domains) + domain
        stream = np.random.default_rng(derive_seed(ledger.seed, "targets", split))
        return cls(
            split=split,
            domain=domain.astype(np.int32),
            block=(index // PER_BLOCK).astype(np.int32),
            number=number,
            hardness=stream.normal(HARDNESS_DB, HARDNESS_SPREAD_DB, number.size),
            names=pa.array([f"{ledger.domains[d]}-{n}" for d, n in zip(domain, number, strict=True)]),
        )


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The trials of a phase; `values` [trials, parameters] is NaN where a trial lacks a parameter."""

    numbers: NDArray[np.int32]
    values: Array
    origins: tuple[str, ...]

    def __getitem__(self, part: slice) -> Trials:
        return Trials(numbers=self.numbers[part], values=self.values[part], origins=self.origins[part])

    def take(self, rows: Sequence[int]) -> Trials:
        """Some of the trials, under their numbers."""
        return Trials(
            numbers=self.numbers[rows], values=self.values[rows], origins=tuple(self.origins[row] for row in rows)
        )


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Means [trials, domains] of a phase: PSNR in dB, and the logarithm of the matching loss. NaN: a row diverged."""

    psnr_db: Array
    log_loss: Array


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Scores of a pack of trials: arrays [trials, targets] of what was kept, [trials, targets, layers] of stages."""

    ledger: Ledger
    phase: str
    targets: Targets
    trials: Trials
    psnr_db: Array  # of every layer; the kept one is the last that a trial enters
    log_loss: Array
    moved: Array  # how far features would go without a ball
    diverged: NDArray[np.bool_]  # [trials, targets]

    @classmethod
    def draw(cls, ledger: Ledger, phase: str, targets: Targets, trials: Trials, stream: np.random.Generator) -> Rows:
        """The rows of a pack."""
        truth, shape = ledger.truth, (trials.numbers.size, targets.number.size)
        gain = truth.improvement(trials.values)[:, targets.domain]
        noise = ledger.noise_db * stream.standard_normal(shape)
        end = _end_layers(truth, trials)
        path = truth.path()[targets.domain]  # [targets, layers]
        layers = np.arange(path.shape[1])
        early = layers < end[:, None, None]
        wobble = STAGE_NOISE_DB * stream.standard_normal((*shape, layers.size), dtype=np.float32)
        kept_path = truth.path()[:, end].T[:, targets.domain]
        kept = targets.hardness + gain + noise
        kept_loss = -4 - 0.1 * (targets.hardness - HARDNESS_DB + gain + noise) + 0.2 * stream.standard_normal(shape)
        moved = 300 * 1.3**layers * np.exp(0.5 * stream.standard_normal((*shape, layers.size), dtype=np.float32))
        unlucky: NDArray[np.bool_] = (
            (stream.random(shape[0]) < ledger.diverged_share) & (trials.numbers > 0) & (phase == "search")
        )
        return cls(
            ledger=ledger,
            phase=phase,
            targets=targets,
            trials=trials,
            psnr_db=kept[:, :, None] + early * (path - kept_path[:, :, None] + wobble),
            log_loss=kept_loss[:, :, None] + 0.12 * np.maximum(end[:, None, None] - layers, 0),
            moved=moved,
            diverged=unlucky[:, None] & (stream.random(shape) < 0.2),
        )

    @property
    def end(self) -> NDArray[np.int64]:
        """[trials]: the layer that a trial ends at."""
        return _end_layers(self.ledger.truth, self.trials)

    def scores(self) -> Scores:
        """Means by domain."""
        member = self.targets.domain[:, None] == np.arange(len(self.ledger.domains))
        weights = member / member.sum(axis=0)
        trial = np.arange(self.end.size)
        psnr_db = np.where(self.diverged, np.nan, self.psnr_db[trial, :, self.end])
        log_loss = np.where(self.diverged, np.nan, self.log_loss[trial, :, self.end])
        return Scores(psnr_db=psnr_db @ weights, log_loss=log_loss @ weights)

    def tables(self) -> dict[str, Columns]:
        """The columns of every table; `reconstructions` last, as in a study."""
        return {
            "trials": _trial_columns(self.ledger, self.phase, self.trials, np.asarray(self.diverged.any(axis=1))),
            "stages": self._stages(),
            "reconstructions": self._reconstructions(),
        }

    def _identity(self, trial: NDArray[np.intp], target: NDArray[np.intp]) -> dict[str, object]:
        return {
            "phase": (np.zeros_like(trial), [self.phase]),
            "trial": self.trials.numbers[trial],
            "block": self.targets.block[target],
            "attempt": np.ones(trial.size, dtype=np.int32),
            "target_id": (target, self.targets.names),
            "domain": (self.targets.domain[target], list(self.ledger.domains)),
            "split": (np.zeros_like(trial), [self.targets.split]),
        }

    def _reconstructions(self) -> Columns:
        trial, target = (axis.ravel() for axis in np.indices(self.diverged.shape))
        end = self.end[trial]
        lost = self.diverged[trial, target]
        entered = np.arange(self.psnr_db.shape[2]) <= self.end[:, None, None]
        best = np.where(entered, self.psnr_db, -np.inf).argmax(axis=2)[trial, target]
        label = (self.targets.number % 10).astype(np.int32)[target]
        origins = list(dict.fromkeys(self.trials.origins))
        origin = np.array([origins.index(name) for name in self.trials.origins])[trial]
        scores = _scores(self.psnr_db[trial, target, end], self.log_loss[trial, target, end], lost)
        return {
            **self._identity(trial, target),
            "method": (np.zeros_like(trial), ["gifd"]),
            "control": (np.zeros_like(trial), ["none"]),
            "origin": (origin, origins),
            "label": label,
            "label_inferred": label,
            "seed": self.targets.number[target],
            **scores,
            "chosen_stage": pa.array(end.astype(np.int32), mask=lost),
            "oracle_stage": pa.array(best.astype(np.int32), mask=lost),
            "gradient_evaluations": np.full(trial.size, BUDGET, dtype=np.int32),
            "seconds": np.full(trial.size, 0.5),
            "outcome": (lost.astype(np.int64), ["ok", "diverged"]),
        }

    def _stages(self) -> Columns:
        num_layers = self.psnr_db.shape[2]
        entered = np.arange(num_layers) <= self.end[:, None, None]
        trial, target, layer = np.nonzero(np.broadcast_to(entered, self.psnr_db.shape))
        lost = self.diverged[trial, target]
        steps, rates, radius = (array[trial, layer] for array in _schedules(self.ledger.truth, self.trials, num_layers))
        moved = np.fmin(self.moved[trial, target, layer], radius)
        return {
            **self._identity(trial, target),
            "stage": layer.astype(np.int32),
            "kind": (np.zeros_like(trial), ["features"]),
            "layer": layer.astype(np.int32),
            "steps": steps.astype(np.int32),
            "steps_taken": steps.astype(np.int32),
            "lr": rates,
            "feature_radius": pa.array(radius, mask=np.isnan(radius)),
            "feature_moved_l1": pa.array(_short(moved), mask=(layer == 0) | lost),
            **_scores(self.psnr_db[trial, target, layer], self.log_loss[trial, target, layer], lost),
        }


def _end_layers(truth: Truth, trials: Trials) -> NDArray[np.int64]:
    column = [parameter.name for parameter in truth.parameters].index("end_layer")
    return trials.values[:, column].astype(np.int64)


def _schedules(truth: Truth, trials: Trials, num_layers: int) -> tuple[Array, Array, Array]:
    """(steps, learning rate, l1 radius) [trials, layers]; no radius at the first layer and without balls."""
    value = {parameter.name: trials.values[:, [column]] for column, parameter in enumerate(truth.parameters)}
    layers, end = np.arange(num_layers), value["end_layer"]
    along = np.minimum(layers / np.maximum(end, 1), 1.0)
    share = np.where(layers <= end, value["steps_tilt"] ** along, 0.0)
    steps = np.maximum(np.floor(BUDGET * share / share.sum(axis=1, keepdims=True)) - 1, 1)
    rates = value["lr_first"] ** (1 - along) * value["lr_last"] ** along
    radius = np.where(layers == 0, np.nan, 400 * 1.3**layers * value["feature_radius_last"])
    return steps, rates, radius


def _scores(psnr_db: Array, log_loss: Array, lost: NDArray[np.bool_]) -> dict[str, pa.Array]:
    columns = {
        "psnr_db": psnr_db,
        "ssim": 1 / (1 + np.exp((15 - psnr_db) / 4)),
        "mse": 10 ** (-psnr_db / 10),
        "matching_loss": np.exp(log_loss),
    }
    return {name: pa.array(_short(column), mask=lost) for name, column in columns.items()}


def _short(values: Array) -> Array:
    """Values in single precision: half of the file."""
    return values.astype(np.float32).astype(np.float64)


def target_columns(ledger: Ledger, targets: Targets) -> Columns:
    return {
        "target_id": targets.names,
        "domain": (targets.domain, list(ledger.domains)),
        "split": (np.zeros_like(targets.domain), [targets.split]),
        "block": targets.block,
        "label": (targets.number % 10).astype(np.int32),
    }


def _trial_columns(ledger: Ledger, phase: str, trials: Trials, diverged: NDArray[np.bool_]) -> Columns:
    truth, size = ledger.truth, trials.numbers.size
    names = np.array([parameter.name for parameter in truth.parameters])
    known = np.isfinite(trials.values)
    if phase != "ablation":
        known[np.array(trials.origins) == "published"] = False  # the recipe lies outside the space
    offsets = np.concatenate([[0], np.cumsum(known.sum(axis=1))]).astype(np.int32)
    keys = pa.array(np.broadcast_to(names, known.shape)[known].tolist(), pa.string())
    return {
        "phase": (np.zeros(size, dtype=np.int64), [phase]),
        "trial": trials.numbers,
        "attempt": np.ones(size, dtype=np.int32),
        "method": (np.zeros(size, dtype=np.int64), ["gifd"]),
        "control": (np.zeros(size, dtype=np.int64), ["none"]),
        "origin": pa.array(trials.origins),
        **{name: (np.zeros(size, dtype=np.int64), [""]) for name in QUIRKS},
        "params": pa.MapArray.from_arrays(offsets, keys, pa.array(trials.values[known])),
        "config": pa.array(_configs(truth, trials)),
        "outcome": (diverged.astype(np.int64), ["ok", "diverged"]),
    }


def _configs(truth: Truth, trials: Trials) -> list[str]:
    end = _end_layers(truth, trials)
    steps, rates, _ = _schedules(truth, trials, truth.num_stages + 2)
    places = {parameter.name: column for column, parameter in enumerate(truth.parameters)}
    texts = []
    for row, values in enumerate(trials.values):
        radius = values[places["feature_radius_last"]]
        ball = None if np.isnan(radius) else {"value": radius, "relative": True}
        stages = [
            {"kind": "features", "layer": layer, "steps": int(steps[row, layer]), "lr": rates[row, layer],
             "feature_radius": ball if layer else None}
            for layer in range(end[row] + 1)
        ]  # fmt: skip
        rest = {"restarts": int(values[places["restarts"]]), "tv_weight": values[places["tv_weight"]]}
        texts.append(json.dumps({"stages": stages, **rest}))
    return texts


def write_table(path: Path, table: str, columns: Columns) -> None:
    schema = TABLES[table]
    size = len(next(column for column in columns.values() if not isinstance(column, tuple)))  # type: ignore[arg-type]
    arrays = [_array(columns.get(name), schema.field(name).type, size) for name in schema.names]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd", compression_level=1)


def _array(column: object, kind: pa.DataType, size: int) -> pa.Array:
    """A column of the table: values, (index, names), or nothing, which is null."""
    if column is None:
        return pa.nulls(size, kind)
    if isinstance(column, tuple):
        index, names = column
        named = names if isinstance(names, pa.Array) else pa.array(names)
        return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), named).cast(kind)
    return column if isinstance(column, pa.Array) else pa.array(column, kind)
