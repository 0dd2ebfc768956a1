"""One block of a trial, run and committed: a plain function that knows neither Ray nor Optuna."""

from __future__ import annotations

import io
import time
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gifd_ops.attack import AttackResult, run_attack
from gifd_ops.stages import Stage
from study.bench import Bench, truth_of
from study.job import Job
from study.ledger import Ledger
from study.plan import split_of
from study.scores import all_scores, simple_scores


def run_block(bench: Bench, job: Job, block: int, ledger: Ledger) -> None:
    """Attack a block's targets and commit what came of it. A block that is committed already is left as it is."""
    if ledger.has_block(job.phase, job.trial, block):
        return
    config = bench.plan.configure(job.params, origin=job.origin)
    targets = bench.blocks(job.phase)[block]
    victim, generator = bench.victim(job.phase, block), bench.generator(job.phase)
    observation = bench.observation(job.phase, block)
    begin = time.perf_counter()
    result = run_attack(observation, generator, victim, config, seeds=[target.seed for target in targets])
    seconds = (time.perf_counter() - begin) / len(targets)
    record_targets(bench, job.phase, ledger)
    ledger.write_block(job.phase, job.trial, block, _tables(bench, job, block, result, seconds))


def record_targets(bench: Bench, phase: str, ledger: Ledger) -> None:
    """List the targets of a phase in the ledger, with their images if the plan lets them be kept."""
    split = split_of(phase)
    if ledger.has_targets(split):
        return
    rows = [
        {
            "target_id": target.target_id,
            "domain": target.domain,
            "split": split,
            "block": block,
            "label": target.label,
            "png": to_png(target.image) if bench.plan.keep_targets else None,
        }
        for block, targets in enumerate(bench.blocks(phase))
        for target in targets
    ]
    ledger.write_targets(split, rows)


def _tables(
    bench: Bench, job: Job, block: int, result: AttackResult, seconds: float
) -> dict[str, list[dict[str, Any]]]:
    targets, victim = bench.blocks(job.phase)[block], bench.victim(job.phase, block)
    best, truth = result.best, truth_of(targets)
    chosen = all_scores(best, targets, bench, victim)
    by_stage = [result.best_of_stage(index) for index in range(len(result.stages))]
    scores_by_stage = [simple_scores(reconstruction, truth) for reconstruction in by_stage]
    tables: dict[str, list[dict[str, Any]]] = {"images": [], "stages": [], "reconstructions": []}
    for row, target in enumerate(targets):
        identity = {
            "phase": job.phase,
            "trial": job.trial,
            "block": block,
            "attempt": job.attempt,
            "target_id": target.target_id,
            "domain": target.domain,
            "split": target.split,
        }
        ok = chosen[row] is not None
        stages = [scores[row] for scores in scores_by_stage]
        finite = [(scores["psnr_db"], index) for index, scores in enumerate(stages) if scores is not None]
        tables["reconstructions"].append(
            identity
            | (chosen[row] or {})
            | {
                "method": bench.plan.method,
                "control": bench.plan.control_of(job.phase),
                "origin": job.origin,
                "label": target.label,
                "label_inferred": int(result.labels[row]),
                "seed": target.seed,
                "chosen_stage": int(best.stage[row]) if ok else None,
                "oracle_stage": max(finite)[1] if finite else None,
                "gradient_evaluations": result.gradient_evaluations,
                "seconds": seconds,
                "outcome": "ok" if ok else "diverged",
                "message": None if ok else "no restart of any stage ended with a finite matching loss",
            }
        )
        for index, stage_result in enumerate(result.stages):
            stage: Stage = stage_result.stage
            restart = int(by_stage[index].restart[row])
            tables["stages"].append(
                identity
                | (stages[index] or {})
                | {
                    "stage": index,
                    "kind": stage.kind,
                    "layer": stage.layer,
                    "steps": stage.steps,
                    "lr": stage.lr,
                    "feature_radius": _entry(stage_result.feature_radius, row, restart),
                    "latent_radius": _entry(stage_result.latent_radius, row, restart),
                    "noise_radius": _entry(stage_result.noise_radius, row, restart),
                    "feature_moved_l1": _entry(stage_result.feature_moved_l1, row, restart),
                }
            )
        if ok:
            tables["images"].append(identity | {"png": to_png(best.images[row])})
    return tables


def _entry(values: Tensor | None, row: int, restart: int) -> float | None:
    if values is None:
        return None
    value = float(values[row, restart])
    return value if torch.isfinite(values[row, restart]) else None


def to_png(image: Tensor) -> bytes:
    """An image [3, h, w] in [0, 1] as 8-bit PNG."""
    pixels = (image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
