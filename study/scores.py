"""Where the truth meets a result: the metrics of a block's reconstructions, row by row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gifd_ops import authors_metrics, metrics
from gifd_ops.identification import Distance, lpips_distance, mse_distance, rank_in_gallery, ssim_distance
from gifd_ops.perceptual import Lpips
from gifd_ops.result import Reconstruction
from gifd_ops.targets import Target
from gifd_ops.victims import Victim
from study.bench import Bench, truth_of

Row = dict[str, Any]
SIMPLE = ("psnr_db", "ssim", "mse")


def simple_scores(reconstruction: Reconstruction, truth: Tensor) -> list[Row | None]:
    """PSNR, SSIM, MSE and matching loss of every row; None for rows that diverged."""
    fine, images = _finite(reconstruction)
    columns = {name: getattr(metrics, name)(images, truth).tolist() for name in SIMPLE}
    columns["matching_loss"] = reconstruction.matching_loss.tolist()
    return _rows(columns, fine)


def all_scores(reconstruction: Reconstruction, targets: list[Target], bench: Bench, victim: Victim) -> list[Row | None]:
    """Every metric of every row, identification too; None for rows that diverged."""
    truth = truth_of(targets)
    fine, images = _finite(reconstruction)
    columns: dict[str, list[Any]] = {name: network(images, truth).tolist() for name, network in bench.lpips.items()}
    if bench.plan.authors_ranges:
        columns |= _authors_scores(images, truth, bench.lpips, victim)
    if bench.plan.gallery > 1:
        columns |= _ranks(images, targets, bench)
    rows = zip(simple_scores(reconstruction, truth), _rows(columns, fine), strict=True)
    return [None if simple is None or more is None else simple | more for simple, more in rows]


def _finite(reconstruction: Reconstruction) -> tuple[Tensor, Tensor]:
    """Which rows can be scored, and images that are black where they cannot."""
    fine = reconstruction.matching_loss.isfinite() & reconstruction.images.flatten(1).isfinite().all(dim=1)
    return fine, torch.where(fine[:, None, None, None], reconstruction.images, 0.0)


def _authors_scores(images: Tensor, truth: Tensor, lpips: dict[str, Lpips], victim: Victim) -> dict[str, list[float]]:
    """SSIM and LPIPS of normalized pixels, for comparison with published numbers only."""
    normalize = victim.normalize
    found = {"ssim_authors": authors_metrics.ssim_normalized(images, truth, normalize=normalize).tolist()}
    for name, network in lpips.items():
        found[f"{name}_authors"] = authors_metrics.lpips_normalized(
            network, images, truth, normalize=normalize
        ).tolist()
    return found


def _ranks(images: Tensor, targets: list[Target], bench: Bench) -> dict[str, list[int | None]]:
    """Where each private image stands among its gallery, by metric; null where there are no other images."""
    distances: dict[str, Distance] = {"rank_psnr_db": mse_distance, "rank_ssim": ssim_distance}
    if "lpips" in bench.lpips:
        distances["rank_lpips"] = lpips_distance(bench.lpips["lpips"])
    ranks: dict[str, list[int | None]] = {name: [] for name in ("gallery_size", *distances)}
    for image, target in zip(images, targets, strict=True):
        gallery = bench.gallery_of(target)
        ranks["gallery_size"].append(len(gallery) + 1 if len(gallery) else None)
        for name, distance in distances.items():
            place = rank_in_gallery(image[None], target.image[None], gallery, distance) if len(gallery) else None
            ranks[name].append(None if place is None else int(place))
    return ranks


def _rows(columns: dict[str, list[Any]], fine: Tensor) -> list[Row | None]:
    return [{name: values[row] for name, values in columns.items()} if fine[row] else None for row in range(len(fine))]
