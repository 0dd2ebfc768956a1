"""How far domains lie apart: by what their pictures look like, and by how hard the published recipe finds them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

Floats = npt.NDArray[np.float64]
BANDS = ((0.05, 0.15), (0.15, 0.3), (0.3, 0.5))  # of spatial frequency, cycles per pixel
_LEAST_POWER = 1e-8  # that of a picture of eight bits quantized is above


def picture_features(picture: Floats) -> Floats:
    """Ten simple features of a picture [h, w, 3] in [0, 1].

    Mean and standard deviation of each colour, mean length of the brightness slope (edges), log power of the brightness
    in three bands of spatial frequency.
    """
    brightness = picture.mean(axis=2)
    down, right = np.gradient(brightness)
    power = np.abs(np.fft.fft2(brightness - brightness.mean())) ** 2 / brightness.size
    rows, columns = (np.fft.fftfreq(size)[:, None] for size in brightness.shape)
    frequency = np.hypot(rows, columns.T)
    bands = [power[(low < frequency) & (frequency <= high)].mean() for low, high in BANDS]
    edges = np.hypot(down, right).mean()
    colours = [*picture.mean(axis=(0, 1)), *picture.std(axis=(0, 1))]
    return np.array([*colours, edges, *np.log(np.maximum(bands, _LEAST_POWER))])


def picture_distances(targets: pd.DataFrame, domains: Sequence[str]) -> Floats | None:
    """The Frechet distance between domains [domains, domains] by `picture_features` of their private images.

    Features are divided by their standard deviation over all pictures, and domains taken as normal with independent
    features (so few pictures give no covariance): sqrt(sum (mean difference)^2 + (deviation difference)^2). Dowson and
    Landau (1982). None where a domain has under two pictures: a study keeps none of a person's own unless told to.
    """
    kept = targets.drop_duplicates("target_id")
    kept = kept[np.array([isinstance(png, bytes) for png in kept["png"]], dtype=np.bool_)]
    counts = kept.groupby("domain").size()
    if any(counts.get(domain, 0) < 2 for domain in domains):
        return None
    features = np.stack([picture_features(_decode(png)) for png in kept["png"]])
    features /= np.maximum(features.std(axis=0), 1e-9)
    of_domain = [features[(kept["domain"] == domain).to_numpy()] for domain in domains]
    means = np.stack([mine.mean(axis=0) for mine in of_domain])
    deviations = np.stack([mine.std(axis=0, ddof=1) for mine in of_domain])
    apart = sum(np.sum((each[:, None] - each[None]) ** 2, axis=2) for each in (means, deviations))
    return np.asarray(np.sqrt(apart), dtype=np.float64)


def score_distances(published: Floats, group: npt.NDArray[np.str_], domains: Sequence[str]) -> Floats:
    """How far apart the mean scores of the published recipe lie [domains, domains]; `group` is each target's."""
    means = np.array([published[group == domain].mean() for domain in domains])
    return np.asarray(np.abs(np.subtract.outer(means, means)))


def _decode(png: bytes) -> Floats:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float64) / 255
