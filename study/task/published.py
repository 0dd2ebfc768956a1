"""The two settings of the paper: FFHQ with StyleGAN2, ImageNet with BigGAN (Fang et al., ICCV 2023, section 4.1)."""

from __future__ import annotations

from pathlib import Path

from study.assets.manifest import ASSETS
from study.task.definition import Definition, Folder

STYLES = ("photo", "art_painting", "cartoon", "sketch")  # of PACS (Li et al., ICCV 2017), sub-folders are classes
SIZE_PX = 64
CIFAR10_MEAN, CIFAR10_STD = (0.49147, 0.48226, 0.44677), (0.24703, 0.24349, 0.26159)  # which the authors use for faces
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAYOUTS = {"ffhq": "ffhq", "imagenet": "imagenet", "cifar10": "cifar10", "celeba": "celeba"} | dict.fromkeys(
    STYLES, "class_folders"
)


def _kept(name: str) -> Path:
    """Where `study.assets` keeps the generator."""
    asset = {"ffhq": "stylegan2-ffhq", "imagenet": "biggan-deep-256"}[name]
    return next(entry.path() for entry in ASSETS if entry.name == asset)


def published_task(name: str, *, data: Path | None, weights: Path | None) -> Definition:
    """The task `ffhq` or `imagenet` on a folder of data: every sub-folder of a known name is a domain.

    weights: None for those that `python -m study.assets fetch` brought. A BigGAN-deep of other sizes than the published
    ones has its config.json beside it, named like the weights. Raises ValueError if the folder or the weights are not
    given, or the folder holds no known domain.
    """
    if weights is None and (kept := _kept(name)).is_file():
        weights = kept
    if data is None or weights is None:
        missing = " and ".join(option for option, value in (("--data", data), ("--weights", weights)) if value is None)
        raise ValueError(
            f"--task {name} needs --data FOLDER and --weights FILE, which are not part of this project; missing: "
            f"{missing}. docs/assets.md says where both come from (python -m study.assets list)"
        )
    own = ("ffhq", "celeba") if name == "ffhq" else ("imagenet",)
    allowed = (*own, *STYLES, *(("cifar10",) if name == "ffhq" else ()))
    domains = {
        domain: Folder(path=data / domain, layout=LAYOUTS[domain]) for domain in allowed if (data / domain).is_dir()
    }
    if not domains:
        raise ValueError(
            f"{data} holds none of the folders {', '.join(allowed)}; put pictures of a domain into a folder of its name"
        )
    faces, beside = name == "ffhq", weights.with_suffix(".json")
    return Definition(
        name=name,
        size_px=SIZE_PX,
        num_classes=10 if faces else 1000,
        architecture="stylegan2" if faces else "biggan",
        approximation="none",
        checkpoint=weights,
        sha256=None,
        sizes=beside if not faces and beside.is_file() else None,
        clamp=None,
        victim="resnet18",
        code=None,
        pixel_mean=CIFAR10_MEAN if faces else IMAGENET_MEAN,
        pixel_std=CIFAR10_STD if faces else IMAGENET_STD,
        domains=domains,
        in_distribution=own[:1],
        recipe="paper_stylegan2" if faces else "paper_biggan",
        defaults={},
    )
