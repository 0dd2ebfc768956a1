"""Private images by split: what is attacked while searching (tune), choosing (select) and reporting (test)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from gifd_ops.pictures import Picture
from gifd_ops.portraits import CLASSES, SEED_RANGES, draw
from gifd_ops.seeds import derive_seed
from gifd_ops.tasks import USER_DOMAIN

MOST_PER_DOMAIN = 256


@dataclass(frozen=True, kw_only=True)
class Target:
    """One private image. The attack never receives a Target, only what `observe` makes of it."""

    target_id: str
    domain: str
    split: str
    label: int
    image: Tensor  # [3, h, w] in [0, 1]
    seed: int  # of the attack on it


def portrait_targets(split: str, *, domains: Sequence[str], per_domain: int, seed: int, size_px: int) -> list[Target]:
    """Portraits of a split, `per_domain` of each domain in turn; classes are balanced within every domain.

    Splits draw from disjoint seed ranges, so no image is in two of them.
    """
    targets = []
    for place, domain in enumerate(domains):
        seeds = [_portrait_seed(split, seed=seed, place=place, index=index) for index in range(per_domain)]
        images, labels = draw(seeds, domain=domain, size_px=size_px)
        for portrait_seed, image, label in zip(seeds, images, labels.tolist(), strict=True):
            target_id = f"{domain}-{portrait_seed}"
            targets.append(
                Target(
                    target_id=target_id,
                    domain=domain,
                    split=split,
                    label=label,
                    image=image,
                    seed=derive_seed(seed, "attack", split, target_id),
                )
            )
    return targets


def _portrait_seed(split: str, *, seed: int, place: int, index: int) -> int:
    assert index < MOST_PER_DOMAIN
    allowed = SEED_RANGES[split]
    group = ((seed * 8 + place) * MOST_PER_DOMAIN + index) % (len(allowed) // len(CLASSES))
    label = (index + 3 * place) % len(CLASSES)
    return allowed.start + group * len(CLASSES) + label


def picture_targets(
    pictures: Mapping[Path, Picture], chosen: Sequence[str], *, split: str, num_classes: int, seed: int, size_px: int
) -> list[Target]:
    """The chosen pictures (by sha256), shorter side scaled to `size_px`, center cropped.

    A picture without a class gets one drawn from the seed. Names of files do not enter the results.
    """
    paths = {picture.sha256: path for path, picture in pictures.items()}
    targets = []
    for digest in chosen:
        label = pictures[paths[digest]].label
        target_id = _picture_id(digest)
        targets.append(
            Target(
                target_id=target_id,
                domain=USER_DOMAIN,
                split=split,
                label=derive_seed(seed, "label", digest) % num_classes if label is None else label,
                image=load_picture(paths[digest], size_px=size_px),
                seed=derive_seed(seed, "attack", split, target_id),
            )
        )
    return targets


def portrait_others(targets: Sequence[Target], *, size_px: int) -> Tensor:
    """For each portrait another one of its class and domain, [n, 3, size_px, size_px]; no split holds it."""
    others = []
    for target in targets:
        seed = int(target.target_id.rpartition("-")[2]) % len(SEED_RANGES["other"])
        images, _ = draw([SEED_RANGES["other"][seed]], domain=target.domain, size_px=size_px)
        others.append(images[0])
    return torch.stack(others)


def portrait_gallery(domain: str, *, count: int, seed: int, size_px: int) -> Tensor:
    """Portraits of a domain that no split holds, [count, 3, size_px, size_px]."""
    allowed = SEED_RANGES["gallery"]
    seeds = [allowed[(seed * count + index) % len(allowed)] for index in range(count)]
    return draw(seeds, domain=domain, size_px=size_px)[0]


def picture_others(
    pictures: Mapping[Path, Picture], known: Sequence[str], targets: Sequence[Target], *, size_px: int
) -> Tensor:
    """For each target the next of the known pictures (sha256), of its class where there is one: [n, 3, h, w].

    Raises ValueError if there is one picture only.
    """
    if len(known) < 2:
        raise ValueError("the control other_image needs two pictures or more; add one, or leave the control out")
    paths = {picture.sha256: path for path, picture in pictures.items()}
    labels = {picture.sha256: picture.label for picture in pictures.values()}
    others = []
    for target in targets:
        own = next(digest for digest in known if _picture_id(digest) == target.target_id)
        place = list(known).index(own)
        following = [*known[place + 1 :], *known[:place]]
        alike = [digest for digest in following if labels[digest] == labels[own]]
        others.append(load_picture(paths[(alike or following)[0]], size_px=size_px))
    return torch.stack(others)


def picture_gallery(
    pictures: Mapping[Path, Picture], known: Sequence[str], target: Target, *, count: int, size_px: int
) -> Tensor:
    """Up to `count` of the other known pictures (sha256), [n, 3, size_px, size_px]."""
    paths = {picture.sha256: path for path, picture in pictures.items()}
    others = [digest for digest in known if _picture_id(digest) != target.target_id][:count]
    if not others:
        return torch.empty(0, 3, size_px, size_px)
    return torch.stack([load_picture(paths[digest], size_px=size_px) for digest in others])


def _picture_id(digest: str) -> str:
    return f"{USER_DOMAIN}-{digest[:12]}"


def load_picture(path: Path, *, size_px: int) -> Tensor:
    """A picture as [3, size_px, size_px] in [0, 1]."""
    with Image.open(path) as image:
        return to_square(ImageOps.exif_transpose(image), size_px=size_px)


def to_square(image: Image.Image, *, size_px: int) -> Tensor:
    """A picture as [3, size_px, size_px] in [0, 1]: its shorter side scaled, its middle cut out."""
    pixels = transforms.pil_to_tensor(image.convert("RGB"))
    pixels = transforms.resize(pixels, [size_px], antialias=True)
    cropped: Tensor = transforms.center_crop(pixels, [size_px, size_px])
    return cropped.to(torch.float32) / 255


def into_blocks(targets: Sequence[Target], *, per_domain: int) -> list[list[Target]]:
    """Blocks of targets in a fixed order, each with equally many (`per_domain`) of every domain."""
    by_domain: dict[str, list[Target]] = {}
    for target in targets:
        by_domain.setdefault(target.domain, []).append(target)
    longest = max(map(len, by_domain.values()))
    return [
        [target for members in by_domain.values() for target in members[start : start + per_domain]]
        for start in range(0, longest, per_domain)
    ]
