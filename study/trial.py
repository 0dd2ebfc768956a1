"""One block of a trial, run and committed: a plain function that knows neither Ray nor Optuna."""

from __future__ import annotations

import io
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gifd_ops import metrics
from gifd_ops.attack import AttackResult, Reconstruction, run_attack
from gifd_ops.generators.loading import load_generator
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import observe
from gifd_ops.pictures import scan_pictures
from gifd_ops.seeds import derive_seed
from gifd_ops.targets import Target, into_blocks, picture_targets, portrait_targets
from gifd_ops.victims import Victim, build_victim
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan, split_of

SCORES = ("psnr_db", "ssim", "mse")


class Bench:
    """What a worker keeps from job to job: the generator, and the targets and victims it has met."""

    def __init__(self, plan: StudyPlan, *, pictures_folder: Path | None) -> None:
        self.plan, self.pictures_folder = plan, pictures_folder
        self._blocks: dict[str, list[list[Target]]] = {}
        self._victims: dict[tuple[str, int], Victim] = {}

    @cached_property
    def generator(self) -> StyleGan2Generator:
        task = self.plan.task_info
        return load_generator(task.checkpoint, size_px=task.size_px)

    def blocks(self, phase: str) -> list[list[Target]]:
        """The targets of a phase, block by block, the same for every trial."""
        if phase not in self._blocks:
            targets = self._targets(split_of(phase))
            self._blocks[phase] = into_blocks(targets, per_domain=self.plan.block_targets_per_domain)
        return self._blocks[phase]

    def victim(self, phase: str, block: int) -> Victim:
        """The victim of a block: an initialization of its own, different in every split."""
        task = self.plan.task_info
        if (phase, block) not in self._victims:
            self._victims[phase, block] = build_victim(
                self.plan.victim,
                seed=derive_seed(self.plan.seed, "victim", split_of(phase), block),
                num_classes=task.num_classes,
                size_px=task.size_px,
                pixel_mean=task.pixel_mean,
                pixel_std=task.pixel_std,
            )
        return self._victims[phase, block]

    def _targets(self, split: str) -> list[Target]:
        plan, task = self.plan, self.plan.task_info
        if plan.pictures is None:
            return portrait_targets(
                split,
                domains=plan.domains,
                per_domain=plan.targets_per_domain if split == "tune" else plan.test_targets_per_domain,
                seed=plan.seed,
                size_px=task.size_px,
            )
        if self.pictures_folder is None:
            raise ValueError("this study attacks a person's own pictures; give their folder again (--images FOLDER)")
        return picture_targets(
            scan_pictures(self.pictures_folder, num_classes=task.num_classes),
            plan.picture_split(split),
            split=split,
            num_classes=task.num_classes,
            seed=plan.seed,
            size_px=task.size_px,
        )


def run_block(bench: Bench, job: Job, block: int, ledger: Ledger) -> None:
    """Attack a block's targets and commit what came of it. A block that is committed already is left as it is."""
    if ledger.has_block(job.phase, job.trial, block):
        return
    config = bench.plan.configure(job.params, origin=job.origin)
    targets = bench.blocks(job.phase)[block]
    victim = bench.victim(job.phase, block)
    begin = time.perf_counter()
    truth = torch.stack([target.image for target in targets])
    observation = observe(victim, truth, torch.tensor([target.label for target in targets]))
    result = run_attack(observation, bench.generator, victim, config, seeds=[target.seed for target in targets])
    seconds = (time.perf_counter() - begin) / len(targets)
    record_targets(bench, job.phase, ledger)
    ledger.write_block(job.phase, job.trial, block, _tables(job, block, targets, truth, result, seconds))


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
    job: Job, block: int, targets: list[Target], truth: Tensor, result: AttackResult, seconds: float
) -> dict[str, list[dict[str, Any]]]:
    best = result.best
    chosen = _scores(best, truth)
    by_stage = [result.best_of_stage(index) for index in range(len(result.stages))]
    scores_by_stage = [_scores(reconstruction, truth) for reconstruction in by_stage]
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
            stage, restart = stage_result.stage, int(by_stage[index].restart[row])
            tables["stages"].append(
                identity
                | (stages[index] or {})
                | {
                    "stage": index,
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


def _scores(reconstruction: Reconstruction, truth: Tensor) -> list[dict[str, float] | None]:
    """Metrics of every row, None for rows that diverged: the only place where the truth meets a result."""
    fine = reconstruction.matching_loss.isfinite() & reconstruction.images.flatten(1).isfinite().all(dim=1)
    images = torch.where(fine[:, None, None, None], reconstruction.images, 0.0)
    columns = {name: getattr(metrics, name)(images, truth).tolist() for name in SCORES}
    columns["matching_loss"] = reconstruction.matching_loss.tolist()
    return [
        {name: values[row] for name, values in columns.items()} if fine[row] else None for row in range(len(images))
    ]


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
