"""Recorded tables whose truth is known, for tests of what reads them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.base import Draw
from study.plan import StudyPlan
from study.replay.pool import PLAN_KEY, TABLE

DOMAINS = ("photo", "art", "cartoon", "sketch")


def quality(params: dict[str, float]) -> float:
    """The truth, dB over the published recipe: best without balls, at a first learning rate of 0.1."""
    return 2.0 - 4.0 * abs(np.log10(params["lr_first"] / 0.1)) - 2.0 * params["balls"]


def write_pool(
    path: Path, plan: StudyPlan, *, configs: int, per_domain: int, noise_db: float, diverged: bool = False
) -> list[float]:
    """Write a table of random configs of `ood`; returns their true qualities, the published recipe's first."""
    stream, rows, truth = np.random.default_rng(0), [], [0.0]
    params: list[dict[str, float]] = [{}]
    for number in range(configs):
        ask = Draw(random.Random(number))
        plan.search_space.suggest(ask, plan.task_info.generator_shape, budget=plan.budget)
        params.append(ask.params)
        truth.append(quality(ask.params))
    for domain in DOMAINS:
        for place in range(per_domain):
            difficulty = 3 * stream.standard_normal()
            for trial, value in enumerate(truth):
                lost = diverged and trial == len(truth) - 1 and place == 0
                score = 20 + difficulty + value + noise_db * stream.standard_normal()
                rows.append(
                    {
                        "trial": trial,
                        "origin": "random" if trial else "published",
                        "params": sorted(params[trial].items()),
                        "target_id": f"{domain}-{place}",
                        "domain": domain,
                        "block": 0,
                        "psnr_db": None if lost else score,
                        "ssim": 0.5,
                        "matching_loss": None if lost else -score,
                        "gradient_evaluations": plan.budget,
                        "seconds": 0.1,
                        "outcome": "diverged" if lost else "ok",
                    }
                )
    pq.write_table(pa.Table.from_pylist(rows, TABLE.with_metadata({PLAN_KEY: plan.to_json().encode()})), path)
    return truth
