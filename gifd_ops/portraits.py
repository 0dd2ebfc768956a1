"""The embedded image distribution: portraits drawn from a seed, with style domains.

An image is a function of its seed alone, so private images are drawn when they are needed and never stored. The class
of seed `s` is `CLASSES[s % 10]`, the hair or headwear. A seed fixes a scene (flat shapes given by signed distances,
in painting order), and a domain is a way of painting scenes. `photo` is what the embedded generator is trained on;
`art`, `cartoon` and `sketch` are drawn from the same scenes but never seen by it (the styles of PACS, Li et al. 2017).
`alien`, `pose` and `objects` are painted as photos are, but show what no photo shows: skins of other hues, heads on the
side, and things instead of people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gifd_ops.object_scenes import build_object_scene
from gifd_ops.portrait_scenes import CLASSES, Factors, Scene, build_scene, unseen_pose, unseen_skin

__all__ = ["CLASSES", "DOMAINS", "SEED_RANGES", "draw"]

NUM_FACTORS = 72
# Factors that no photo reads and a domain has to itself, so that all else is as in the photo of the same seed.
OWN_FACTORS = {"art": slice(69, 72), "pose": slice(66, 69), "alien": slice(63, 66)}

# Who may see which seeds: the generator's training, the splits of a study, and what private images are told apart from
# (another image of the same class and domain; the gallery in which an image is looked for).
SEED_RANGES = {
    "train": range(0, 1_000_000),
    "tune": range(1_000_000, 2_000_000),
    "select": range(2_000_000, 3_000_000),
    "test": range(3_000_000, 4_000_000),
    "other": range(4_000_000, 5_000_000),
    "gallery": range(5_000_000, 6_000_000),
}


def draw(seeds: Sequence[int], *, domain: str, size_px: int = 32) -> tuple[Tensor, Tensor]:
    """Images of `seeds` in a domain, and their classes.

    Returns images [n, 3, size_px, size_px] in [0, 1] (float32) and labels [n] (int64). The same seed gives the same
    image whatever else is drawn beside it.
    """
    if domain not in PAINTERS:
        raise ValueError(f"a portrait domain is one of {', '.join(PAINTERS)}; got {domain!r}")
    streams = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
    factors = Factors(torch.tensor(np.stack([stream.random(NUM_FACTORS) for stream in streams]), dtype=torch.float32))
    grain = torch.tensor(np.stack([stream.standard_normal((3, size_px, size_px)) for stream in streams]))
    labels = torch.tensor([seed % len(CLASSES) for seed in seeds])
    images = PAINTERS[domain](factors, labels, grain.float(), size_px)
    return images.clamp(0, 1), labels


def _grid(size_px: int) -> tuple[Tensor, Tensor]:
    """Pixel centers x (right) and y (down) in [-1, 1], each [1, size, size]."""
    axis = (torch.arange(size_px) + 0.5) / size_px * 2 - 1
    return axis[None, None, :].expand(1, size_px, size_px), axis[None, :, None].expand(1, size_px, size_px)


def _coverage(distance: Tensor, size_px: int) -> Tensor:
    """How much of each pixel lies inside a shape, [n, 1, h, w] in [0, 1]: a pixel is 2 / size wide."""
    return (0.5 - distance * size_px / 2).clamp(0, 1)[:, None]


def _over(image: Tensor, color: Tensor, alpha: Tensor) -> Tensor:
    return image + (color - image) * alpha


def _lit_painting(scene: Scene, size_px: int) -> Tensor:
    blend = scene.gradient[:, None]
    start, end = scene.background[:, 0, :, None, None], scene.background[:, 1, :, None, None]
    image = start + (end - start) * blend
    for layer in scene.layers:
        color = layer.color[:, :, None, None]
        color = color * scene.light[:, None] if layer.lit else color
        image = _over(image, color, _coverage(layer.distance, size_px))
    return image


def _photo(u: Factors, labels: Tensor, grain: Tensor, size_px: int) -> Tensor:
    x, y = _grid(size_px)
    return _lit_painting(build_scene(u, labels, x, y), size_px) + 0.012 * grain


def _art(u: Factors, labels: Tensor, grain: Tensor, size_px: int) -> Tensor:
    """Brushed: warped outlines, few tones, a tinted palette and a canvas."""
    x, y = _grid(size_px)
    brush = Factors(u.uniforms[:, OWN_FACTORS["art"]])
    reach, phase_x, phase_y = brush.take(0.03, 0.06), brush.take(0, 6.28), brush.take(0, 6.28)
    warped_x, warped_y = x + reach * torch.sin(7 * y + phase_x), y + reach * torch.sin(6 * x + phase_y)
    image = _lit_painting(build_scene(u, labels, warped_x, warped_y), size_px)
    image = torch.einsum("ij,njhw->nihw", torch.tensor([[0.9, 0.2, 0.0], [0.1, 0.8, 0.1], [0.15, 0.0, 0.7]]), image)
    tones = torch.round(image * 6) / 6
    canvas = functional.avg_pool2d(grain.mean(dim=1, keepdim=True), 3, stride=1, padding=1)
    return 0.75 * tones + 0.25 * image + 0.16 * canvas


def _cartoon(u: Factors, labels: Tensor, grain: Tensor, size_px: int) -> Tensor:
    """Flat saturated colors inside dark outlines."""
    x, y = _grid(size_px)
    scene = build_scene(u, labels, x, y)
    stroke = max(0.03, 1.2 / size_px)
    image = scene.background[:, 0, :, None, None].expand(-1, -1, size_px, size_px)
    for layer in scene.layers:
        gray = layer.color.mean(dim=1, keepdim=True)
        vivid = (gray + 1.45 * (layer.color - gray)).clamp(0, 1)[:, :, None, None]
        image = _over(image, vivid, _coverage(layer.distance, size_px))
        if layer.outlined:
            image = _over(image, torch.tensor(0.06), _coverage(layer.distance.abs() - stroke, size_px))
    return image


def _sketch(u: Factors, labels: Tensor, grain: Tensor, size_px: int) -> Tensor:
    """Pencil lines on paper, hair hatched."""
    x, y = _grid(size_px)
    scene = build_scene(u, labels, x, y)
    stroke = max(0.02, 0.8 / size_px)
    hatch = (0.55 + 0.3 * torch.sin(22 * (x + 0.6 * y)))[:, None]
    image = torch.full((len(labels), 1, size_px, size_px), 0.97)
    for layer in scene.layers:
        image = _over(image, hatch if layer.hatched else torch.tensor(0.97), _coverage(layer.distance, size_px))
        if layer.outlined:
            image = _over(image, torch.tensor(0.15), 0.9 * _coverage(layer.distance.abs() - stroke, size_px))
    return (image + 0.02 * grain[:, :1]).expand(-1, 3, -1, -1)


def _alien(u: Factors, labels: Tensor, grain: Tensor, size_px: int) -> Tensor:
    """The photo of somebody with the skin of nobody."""
    x, y = _grid(size_px)
    skin = unseen_skin(Factors(u.uniforms[:, OWN_FACTORS["alien"]]))
    return _lit_painting(build_scene(u, labels, x, y, skin=skin), size_px) + 0.012 * grain


def _pose(u: Factors, labels: Tensor, grain: Tensor, size_px: int) -> Tensor:
    """The photo with the head on the side and the person off the middle."""
    x, y = _grid(size_px)
    pose = unseen_pose(Factors(u.uniforms[:, OWN_FACTORS["pose"]]))
    return _lit_painting(build_scene(u, labels, x, y, pose=pose), size_px) + 0.012 * grain


def _objects(u: Factors, labels: Tensor, grain: Tensor, size_px: int) -> Tensor:
    """A photo of a thing; the class of its seed stays, and means nothing."""
    x, y = _grid(size_px)
    return _lit_painting(build_object_scene(u, x, y), size_px) + 0.012 * grain


PAINTERS: dict[str, Callable[[Factors, Tensor, Tensor, int], Tensor]] = {
    "photo": _photo,
    "art": _art,
    "cartoon": _cartoon,
    "sketch": _sketch,
    "alien": _alien,
    "pose": _pose,
    "objects": _objects,
}
DOMAINS = tuple(PAINTERS)
