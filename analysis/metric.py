"""The scores of a reconstruction: unit, and which way lies more leakage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """An oracle score: its column, its unit, and `direction` (+1 if a higher score means more leakage, else -1)."""

    column: str
    unit: str
    direction: int


METRICS = {
    "psnr_db": Metric("psnr_db", "dB", 1),
    "ssim": Metric("ssim", "SSIM", 1),
    "lpips": Metric("lpips", "LPIPS", -1),
    "mse": Metric("mse", "MSE", -1),
}


def leakage_metric(name: str | None) -> Metric:
    """The metric `name` of the plan; PSNR where the plan is steered by something an attacker sees (matching loss).

    What is reported is always leakage, which only a score against the private image can tell.
    """
    return METRICS.get(name or "psnr_db", METRICS["psnr_db"])
