"""Synthetic ledgers: real Parquet, invented numbers, known truth."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.image import imsave

from study.schema import QUIRKS, TABLES

Params = Mapping[str, float]
Effect = Callable[[Params, str], float]


def no_effect(params: Params, domain: str) -> float:
    """Every config leaks alike."""
    return 0.0


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What the ledger of a study holds; `effect(params, domain)` is the true gain over the published recipe, in dB."""

    effect: Effect = no_effect
    domains: tuple[str, ...] = ("art", "cartoon", "sketch", "photo")
    steered: tuple[str, ...] = ("art", "cartoon", "sketch")
    num_trials: int = 24
    tune_targets: int = 4
    test_targets: int = 8
    noise_db: float = 0.6
    seed: int = 0
    finalists: Mapping[str, int] | None = field(default_factory=lambda: {"published": 0, "oracle": 7, "observable": 9})
    pictures: bool = False
    method: str = "gifd"
    controls: tuple[str, ...] = ()  # of which the finalists lose 4 dB each
    private: bool = True


def sample_params(rng: np.random.Generator) -> dict[str, float]:
    """Flat parameters as a space would ask for them: `lr_layer_2` and the radius are there only sometimes."""
    params = {
        "lr_io": float(10 ** rng.uniform(-3, 0)),
        "lr_decay": float(rng.uniform(0.2, 1)),
        "tv_weight": float(10 ** rng.uniform(-6, -2)),
        "num_stages": float(rng.integers(1, 5)),
        "warmup": float(rng.uniform(0, 0.3)),
    }
    if rng.random() < 0.5:
        params["lr_layer_2"] = float(10 ** rng.uniform(-3, 0))
    if rng.random() < 0.6:
        params["feature_radius"] = float(10 ** rng.uniform(1, 4))
    return params


def write_ledger(path: Path, ledger: Ledger) -> Path:
    """The results folder `path` with `ledger` in it: two part files per table and a hidden partial."""
    rng = np.random.default_rng(ledger.seed)
    params: list[dict[str, float]] = [{}, *(sample_params(rng) for _ in range(ledger.num_trials - 1))]
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}
    finalists = sorted(set((ledger.finalists or {}).values()))
    phases = [("search", "tune", ledger.tune_targets, list(range(ledger.num_trials)))]
    if ledger.finalists is not None:
        phases.append(("test", "test", ledger.test_targets, finalists))
        phases += [(f"test_{name}", "test", ledger.test_targets, finalists) for name in ledger.controls]
    for phase, split, num_targets, trials in phases:
        control = phase.removeprefix("test_") if phase.startswith("test_") else "none"
        conditions = {"method": ledger.method, "control": control}
        for trial in trials:
            rows["trials"].append(
                {"phase": phase, "trial": trial, "attempt": 0, "origin": "search" if trial else "published",
                 "params": list(params[trial].items()), "config": "{}", "outcome": "ok", **conditions,
                 **dict.fromkeys(QUIRKS, "")}
            )  # fmt: skip
        for domain in ledger.domains:
            for index in range(num_targets):
                target = f"{split}-{domain}-{index}"
                hardness = rng.normal(16, 3) - (4 if control != "none" else 0)
                picture = rng.random((12, 12, 3)) * 0.3 + rng.random(3) * 0.7
                png = _png(picture) if ledger.pictures else None
                rows["targets"].append(
                    {"target_id": target, "domain": domain, "split": split, "block": index, "label": 0,
                     "png": png if ledger.private else None}
                )  # fmt: skip
                for trial in trials:
                    gain = ledger.effect(params[trial], domain) if trial else 0.0
                    score = hardness + gain + rng.normal(0, ledger.noise_db)
                    identity = {"phase": phase, "trial": trial, "block": index, "attempt": 0, "target_id": target,
                                "domain": domain, "split": split}  # fmt: skip
                    rows["reconstructions"].append(
                        {**identity, **conditions, "gallery_size": 16, "rank_psnr_db": 1 if score > 16 else 5,
                         "origin": "search" if trial else "published", "label": 0, "seed": index,
                         "psnr_db": score, "matching_loss": -score, "gradient_evaluations": 120, "seconds": 0.1,
                         "outcome": "ok"}
                    )  # fmt: skip
                    if ledger.pictures and phase == "test":
                        noisy = np.clip(picture + rng.normal(0, 0.2 / (1 + trial), picture.shape), 0, 1)
                        rows["images"].append({**identity, "png": _png(noisy)})
    parameters = [
        [name, {"low": 0.0, "high": 1.0, "log": log, "options": options}]
        for name, log, options in (
            ("lr_io", True, None),
            ("lr_decay", False, None),
            ("tv_weight", True, None),
            ("num_stages", False, [1, 2, 3, 4]),
            ("warmup", False, None),
            ("lr_layer_2", True, None),
            ("feature_radius", True, None),
        )
    ]
    plan = {
        "parameters": parameters,
        "metric": "psnr_db",
        "domains": list(ledger.domains),
        "steered_domains": list(ledger.steered),
        "method": ledger.method,
    }
    path.mkdir(parents=True, exist_ok=True)
    (path / "plan.json").write_text(json.dumps(plan))
    if ledger.finalists is not None:
        (path / "finalists.json").write_text(json.dumps(dict(ledger.finalists)))
    for name, schema in TABLES.items():
        (path / name).mkdir(exist_ok=True)
        (path / name / ".partial.parquet").write_bytes(b"half a file")
        for part in range(2):
            table = pa.Table.from_pylist(rows[name][part::2], schema=schema)
            pq.write_table(table, path / name / f"part-{part}.parquet")
    return path


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    imsave(buffer, picture, format="png")
    return buffer.getvalue()
