"""A block of a trial, or of several, run and committed: plain functions that know neither Ray nor Optuna."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gifd_ops.attack import AttackResult, OutOfMemoryError, run_attacks
from gifd_ops.result import StageResult
from gifd_ops.stages import Stage
from gifd_ops.targets import Target
from study.bench import Bench, truth_of
from study.job import Job
from study.ledger import Ledger
from study.placing import Placed, placed
from study.plan import split_of
from study.scores import all_scores, simple_scores

Tables = dict[str, list[dict[str, Any]]]


def run_block(bench: Bench, job: Job, block: int, ledger: Ledger, *, max_rows: int | None = None) -> None:
    """Attack a block's targets and commit what came of it. A block that is committed already is left as it is.

    max_rows: fuse no more than these. A target that does not fit into memory alone is an outcome like any other.
    """
    run_blocks(bench, [job], block, ledger, max_rows=max_rows)


def run_blocks(bench: Bench, jobs: Sequence[Job], block: int, ledger: Ledger, *, max_rows: int | None = None) -> None:
    """The same for jobs of one phase, as one computation where their configs allow it. Each shares its time equally."""
    missing = [job for job in jobs if not ledger.has_block(job.phase, job.trial, block)]
    if not missing:
        return
    phase, plan = missing[0].phase, bench.plan
    configs = [plan.configure(job.params, origin=job.origin) for job in missing]
    targets = bench.blocks(phase)[block]
    seeds = bench.seeds(phase, block)
    victim, generator = bench.victim(phase, block), bench.generator(phase)
    observation = bench.observation(phase, block)
    begin = time.perf_counter()
    try:
        results = run_attacks(observation, generator, victim, configs, seeds=seeds, max_rows=max_rows)
    except OutOfMemoryError as error:
        if len(missing) > 1:  # which of them is too large, each must say
            for job in missing:
                run_block(bench, job, block, ledger, max_rows=max_rows)
            return
        seconds = (time.perf_counter() - begin) / len(targets)
        tables = [_failed_tables(bench, missing[0], block, str(error), seconds)]
    else:
        seconds = (time.perf_counter() - begin) / len(targets) / len(missing)
        tables = [_tables(bench, *found, block=block, seconds=seconds) for found in zip(missing, results, strict=True)]
    record_targets(bench, phase, ledger)
    for job, rows in zip(missing, tables, strict=True):
        ledger.write_block(phase, job.trial, block, rows)


def record_too_large(bench: Bench, job: Job, block: int, ledger: Ledger, *, message: str) -> None:
    """Commit a block that is not run again, because it took its worker's memory again and again."""
    if not ledger.has_block(job.phase, job.trial, block):
        record_targets(bench, job.phase, ledger)
        ledger.write_block(job.phase, job.trial, block, _failed_tables(bench, job, block, message, 0.0))


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


def _tables(bench: Bench, job: Job, result: AttackResult, *, block: int, seconds: float) -> Tables:
    targets, victim = bench.blocks(job.phase)[block], bench.victim(job.phase, block)
    truth, batch_size = truth_of(targets), bench.plan.sharing.batch_size
    found = placed(result.best, truth, batch_size=batch_size)
    best, labels = found.reconstruction, found.of_images(result.labels)
    evaluations = found.of_images(result.gradient_evaluations)
    chosen = all_scores(best, targets, bench, victim)
    by_stage = [placed(result.best_of_stage(n), truth, batch_size=batch_size) for n in range(len(result.stages))]
    scores_by_stage = [simple_scores(stage.reconstruction, truth) for stage in by_stage]
    of_stages = [_stage_columns(*pair) for pair in zip(by_stage, result.stages, strict=True)]
    tables: Tables = {"images": [], "stages": [], "reconstructions": []}
    for row, target in enumerate(targets):
        identity = _identity(job, block, target)
        ok = chosen[row] is not None
        stages = [scores[row] for scores in scores_by_stage]
        finite = [(scores["psnr_db"], index) for index, scores in enumerate(stages) if scores is not None]
        tables["reconstructions"].append(
            identity
            | _conditions(bench, job, block, row)
            | (chosen[row] or {})
            | {
                "label_inferred": int(labels[row]),
                "chosen_stage": int(best.stage[row]) if ok else None,
                "oracle_stage": max(finite)[1] if finite else None,
                "gradient_evaluations": int(evaluations[row]),
                "seconds": seconds,
                "outcome": "ok" if ok else "diverged",
                "message": None if ok else "no restart of any stage ended with a finite matching loss",
            }
        )
        for index, columns in enumerate(of_stages):
            tables["stages"].append(identity | (stages[index] or {}) | {"stage": index} | columns[row])
        if ok:
            tables["images"].append(identity | {"png": to_png(best.images[row])})
    return tables


def _failed_tables(bench: Bench, job: Job, block: int, message: str, seconds: float) -> Tables:
    """What is said of a block of which not even one target fits into memory."""
    rows = [
        _identity(job, block, target)
        | _conditions(bench, job, block, row)
        | {"gradient_evaluations": 0, "seconds": seconds, "outcome": "out_of_memory", "message": message}
        for row, target in enumerate(bench.blocks(job.phase)[block])
    ]
    return {"images": [], "stages": [], "reconstructions": rows}


def _identity(job: Job, block: int, target: Target) -> dict[str, Any]:
    return {
        "phase": job.phase,
        "trial": job.trial,
        "block": block,
        "attempt": job.attempt,
        "target_id": target.target_id,
        "domain": target.domain,
        "split": target.split,
    }


def _conditions(bench: Bench, job: Job, block: int, row: int) -> dict[str, Any]:
    """Under what a target of a block is attacked."""
    targets, sharing = bench.blocks(job.phase)[block], bench.plan.sharing
    target, first = targets[row], targets[row - row % sharing.batch_size]
    return {
        "method": bench.plan.method,
        "control": bench.plan.control_of(job.phase),
        "origin": job.origin,
        "label": target.label,
        "seed": first.seed,
        **sharing.columns,
        "batch_id": first.target_id if sharing.batch_size > 1 else None,
        "victim_accuracy": bench.victim_accuracy(job.phase, block),
    }


def _stage_columns(found: Placed, result: StageResult) -> list[dict[str, Any]]:
    """What is said of a stage, image by image, beside the scores."""
    stage: Stage = result.stage
    taken = found.of_restart(result.steps_taken).tolist()
    columns: dict[str, list[Any]] = {"steps_taken": taken}
    for name in ("feature_radius", "latent_radius", "noise_radius", "feature_moved_l1"):
        values: Tensor | None = getattr(result, name)
        columns[name] = [None] * len(taken) if values is None else _finite(found.of_restart(values))
    told = {"kind": stage.kind, "layer": stage.layer, "steps": stage.steps, "lr": stage.lr}
    return [told | {name: entries[row] for name, entries in columns.items()} for row in range(len(taken))]


def _finite(values: Tensor) -> list[float | None]:
    return [float(value) if torch.isfinite(value) else None for value in values]


def to_png(image: Tensor) -> bytes:
    """An image [3, h, w] in [0, 1] as 8-bit PNG."""
    pixels = (image.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
