"""Small tasks on disk: public-format checkpoints of random weights, and photographs of scikit-image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from tests.gifd_ops.generators.test_biggan_weights import public_weights as biggan_weights
from tests.gifd_ops.generators.test_checkpoints import SMALL as SMALL_BIGGAN
from tests.gifd_ops.generators.test_stylegan2_weights import public_weights as stylegan2_weights

SIDE = 70
BIGGAN = replace(SMALL_BIGGAN, num_classes=1000)
SMALL = ["--targets-per-domain", "1", "--test-targets-per-domain", "1", "--gallery", "3", "--victim", "lenet"]


def crops() -> Iterator[Image.Image]:
    """Pieces of photographs, no two alike."""
    for photograph in (data.astronaut(), data.coffee(), data.chelsea()):
        for top in range(0, photograph.shape[0] - SIDE, SIDE):
            for left in range(0, photograph.shape[1] - SIDE, SIDE):
                yield Image.fromarray(photograph[top : top + SIDE, left : left + SIDE])


def write_ffhq(folder: Path, pieces: Iterator[Image.Image], *, count: int) -> None:
    (folder / "json").mkdir(parents=True)
    for number in range(count):
        next(pieces).save(folder / f"{number:05}.png")
        described = [{"faceAttributes": {"age": 12.0 + 11 * number}}]
        (folder / "json" / f"{number:05}.json").write_text(json.dumps(described))


def write_classes(folder: Path, pieces: Iterator[Image.Image], names: tuple[str, ...], *, count: int) -> None:
    for number in range(count):
        place = folder / names[number % len(names)] / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        next(pieces).save(place, quality=95)


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the tasks need; not to be changed."""
    folder, pieces = tmp_path_factory.mktemp("own"), crops()
    save_file(stylegan2_weights("stylegan2-ada-pytorch"), folder / "faces.safetensors")
    torch.save({name: value.float() for name, value in biggan_weights(BIGGAN).items()}, folder / "objects.bin")
    told = {**asdict(BIGGAN), "n_stats": BIGGAN.num_statistics, "output_dim": BIGGAN.size_px}
    (folder / "objects.json").write_text(json.dumps(told))
    write_ffhq(folder / "ffhq-data" / "ffhq", pieces, count=6)
    write_classes(folder / "ffhq-data" / "sketch", pieces, ("dog", "person"), count=6)
    synsets = [f"n{number:08}" for number in range(1000)]
    write_classes(folder / "imagenet-data" / "imagenet", pieces, (synsets[7], synsets[903]), count=6)
    (folder / "imagenet-data" / "imagenet" / "synsets.txt").write_text("\n".join(synsets))
    write_classes(folder / "imagenet-data" / "cartoon", pieces, ("dog", "person"), count=6)
    return folder


FFHQ = ["--space", "ood", "--task", "ffhq"]


def ffhq_arguments(folder: Path, *more: str) -> list[str]:
    where = ["--data", str(folder / "ffhq-data"), "--weights", str(folder / "faces.safetensors")]
    return [*FFHQ, *where, *SMALL, "--budget", "40", "--results", str(folder / "results"), *more]


def imagenet_arguments(folder: Path, *more: str) -> list[str]:
    where = ["--data", str(folder / "imagenet-data"), "--weights", str(folder / "objects.bin")]
    begin = ["--space", "ood", "--task", "imagenet"]
    return [*begin, *where, *SMALL, "--budget", "48", "--results", str(folder / "results"), *more]
