"""Stages of invented attacks, as real Parquet parts whose rows lie in no order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from study.schema import TABLES

Row = dict[str, object]
LAYERS = (0, 1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Attacks:
    """Configs on targets; `gain(layer, domain)` in dB over the stage before, `loss(layer, domain)` after the stage."""

    schedules: Sequence[Sequence[int]] = (LAYERS,)  # the layers that trial 0, 1, ... searches
    domains: tuple[str, ...] = ("art", "photo")
    num_targets: int = 8  # of each domain
    gain: Callable[[int, str], float] = lambda layer, domain: 1.0
    loss: Callable[[int, str], float] = lambda layer, domain: 0.1 / (1 + layer)
    noise_db: float = 0.1
    radius: Callable[[int], float | None] = lambda trial: None
    free_l1: float = 100.0  # how far a feature goes without a ball
    kind: str = "features"
    change: Callable[[Row], Row] = field(default=lambda row: row)


def stage_rows(attacks: Attacks, *, phase: str = "search", seed: int = 0) -> list[Row]:
    """The rows, attack after attack."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    split = "tune" if phase == "search" else "test"
    for trial, layers in enumerate(attacks.schedules):
        for domain in attacks.domains:
            for target in range(attacks.num_targets):
                score = 15 + 3 * rng.normal()
                for stage, layer in enumerate(layers):
                    score += (attacks.gain(layer, domain) if stage else 0) + attacks.noise_db * rng.normal()
                    radius = attacks.radius(trial) if layer else None
                    moved = None if not layer else min(attacks.free_l1, radius or np.inf)
                    row: Row = {
                        "phase": phase, "trial": trial, "block": target % 2, "attempt": 1, "split": split,
                        "target_id": f"{split}-{domain}-{target}", "domain": domain, "stage": stage,
                        "kind": attacks.kind, "layer": layer if attacks.kind == "features" else None,
                        "steps": 9 + 10 * stage, "steps_taken": 9 + 10 * stage, "lr": 0.1,
                        "feature_radius": radius, "feature_moved_l1": moved,
                        "psnr_db": score, "ssim": 0.5, "mse": 10 ** (-score / 10),
                        "matching_loss": attacks.loss(layer, domain),
                    }  # fmt: skip
                    rows.append(attacks.change(row))
    return rows


def write_stages(folder: Path, rows: Sequence[Row], *, parts: int = 3, seed: int = 0) -> None:
    """Replace the stages of a results folder; rows are shuffled over the parts."""
    target = folder / "stages"
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.parquet"):
        old.unlink()
    order = np.random.default_rng(seed).permutation(len(rows))
    for part in range(parts):
        own = [rows[place] for place in order[part::parts]]
        pq.write_table(pa.Table.from_pylist(own, schema=TABLES["stages"]), target / f"part-{part}.parquet")
