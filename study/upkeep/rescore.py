"""Score stored reconstructions again: how a metric that came later enters results, without an attack run again.

What is stored are 8-bit images, so a score differs a little from that of the run, which rounded nothing. Scores that
are there are therefore kept, and only told how far they lie from the new ones, unless they are to be replaced. Stages
keep no images and are not scored.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from gifd_ops import metrics
from gifd_ops.perceptual import load_lpips
from gifd_ops.perceptual_weights import check_backbone, find_backbone, how_to_get
from study.checks import LPIPS_NETWORKS
from study.choices import check_name
from study.packs import read_part
from study.schema import TABLES
from study.upkeep.swap import rewriting
from study.versions import check_version

Score = Callable[[Tensor, Tensor], Tensor]
OF_PIXELS: dict[str, Score] = {"psnr_db": metrics.psnr_db, "ssim": metrics.ssim, "mse": metrics.mse}
SCORED = (*OF_PIXELS, *LPIPS_NETWORKS)
ROWS_AT_ONCE = 256


@dataclass(kw_only=True)
class Rescored:
    """What became of a column."""

    filled: int = 0
    kept: int = 0
    replaced: int = 0
    no_image: int = 0  # rows that diverged
    largest_difference: float = 0.0  # between scores that are there and those of the stored images


def rescore(results: Path, names: Sequence[str], *, replace: bool = False) -> dict[str, Rescored]:
    """Fill score columns from the stored images. Only for the one driver. Raises ValueError: rule, value, remedy."""
    check_version(results)
    scores = {name: _score(name) for name in names}
    targets = _targets(results)
    done = {name: Rescored() for name in names}
    with rewriting(results, tables=("reconstructions",), what="rescore") as new:
        for path in sorted((results / "reconstructions").rglob("[!.]*.parquet")):
            part = path.relative_to(results / "reconstructions")
            rows, images = read_part(path), results / "images" / part
            pngs = _images(images)
            for name, score in scores.items():
                values = _values(rows, pngs, targets, score)
                rows = _put(rows, name, values, done[name], replace=replace)
            new.write(f"reconstructions/{part.as_posix()}", rows)
    return done


def _score(name: str) -> Score:
    check_name("metric of stored images", name, SCORED)
    if name in OF_PIXELS:
        return OF_PIXELS[name]
    net = LPIPS_NETWORKS[name]
    path = find_backbone(net)
    if path is None:
        raise ValueError(f"{name} needs the weights of its network, which are not on this machine; {how_to_get(net)}")
    check_backbone(path, net)
    return load_lpips(net, path)


def _targets(results: Path) -> dict[str, bytes]:
    """The private images, by target."""
    rows = [row for path in sorted((results / "targets").glob("[!.]*.parquet")) for row in read_part(path).to_pylist()]
    if not rows or any(row["png"] is None for row in rows):
        raise ValueError(
            f"a score needs the private images, which {results} does not hold; only a study that was run with "
            "--keep-targets, or on the embedded images, can be scored again"
        )
    return {row["target_id"]: row["png"] for row in rows}


def _images(path: Path) -> dict[tuple[str, int, int, str], bytes]:
    """The reconstructions of a part, by the identity of their row."""
    if not path.exists():
        return {}
    rows = read_part(path).select(["phase", "trial", "block", "target_id", "png"]).to_pylist()
    return {(row["phase"], row["trial"], row["block"], row["target_id"]): row["png"] for row in rows}


def _values(
    rows: pa.Table, pngs: dict[tuple[str, int, int, str], bytes], targets: dict[str, bytes], score: Score
) -> list[float | None]:
    keys = [tuple(row.values()) for row in rows.select(["phase", "trial", "block", "target_id"]).to_pylist()]
    values: list[float | None] = [None] * len(keys)
    there = [index for index, key in enumerate(keys) if key in pngs]
    for begin in range(0, len(there), ROWS_AT_ONCE):
        some = there[begin : begin + ROWS_AT_ONCE]
        images = torch.stack([from_png(pngs[keys[index]]) for index in some])
        truth = torch.stack([from_png(targets[keys[index][3]]) for index in some])
        with torch.no_grad():
            for index, value in zip(some, score(images, truth).tolist(), strict=True):
                values[index] = value
    return values


def _put(rows: pa.Table, name: str, values: list[float | None], done: Rescored, *, replace: bool) -> pa.Table:
    merged: list[float | None] = []
    for before, value in zip(rows[name].to_pylist(), values, strict=True):
        if value is None:
            done.no_image += 1
        elif before is None:
            done.filled += 1
        else:
            done.largest_difference = max(done.largest_difference, abs(value - before))
            done.replaced += replace
            done.kept += not replace
        merged.append(before if value is None or (before is not None and not replace) else value)
    place = rows.column_names.index(name)
    return rows.set_column(place, TABLES["reconstructions"].field(name), pa.array(merged, pa.float64()))


def from_png(png: bytes) -> Tensor:
    """An 8-bit RGB PNG as an image [3, h, w] in [0, 1]."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.reshape(image.height, image.width, 3).permute(2, 0, 1) / 255
