"""Tasks by name: which generator, which victims, which domains. Standard library only; tensors come later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gifd_ops.config import GeneratorShape

WEIGHTS = Path(__file__).parent / "weights"

VICTIM_LAYERS = {  # those with parameters
    "lenet": 4,
    "convnet": 6,
    "resnet18": 41,
    "resnet18_imagenet": 41,
    "resnet10_narrow": 25,
    "resnet18_narrow": 41,
    "vit": 29,
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is attacked: a generator, the victims and the image domains that go with it."""

    name: str
    checkpoint: Path  # generator weights; its sha256 and sizes stand in the .json beside it
    generator_shape: GeneratorShape
    size_px: int
    num_classes: int
    domains: tuple[str, ...]
    default_domains: tuple[str, ...]  # those of a study that names none
    in_distribution: frozenset[str]  # the domains that the generator was trained on
    victims: tuple[str, ...]
    pixel_mean: float | tuple[float, float, float]  # the victim's normalization, of all channels or of each
    pixel_std: float | tuple[float, float, float]
    recipe: str = "scaled"  # the published one (`search_spaces/recipes.py`)


PORTRAITS = Task(
    name="portraits",
    checkpoint=WEIGHTS / "portraits.safetensors",
    generator_shape=GeneratorShape(feature_scalars=(0, 128 * 4 * 4, 128 * 8 * 8, 64 * 16 * 16), latent_scalars=8 * 128),
    size_px=32,
    num_classes=10,
    domains=("photo", "art", "cartoon", "sketch", "alien", "pose", "objects"),
    default_domains=("photo", "art", "cartoon", "sketch"),
    in_distribution=frozenset({"photo"}),
    victims=tuple(VICTIM_LAYERS),
    pixel_mean=0.5,
    pixel_std=0.25,
)

TASKS = {task.name: task for task in (PORTRAITS,)}
USER_DOMAIN = "user"  # the domain of a person's own pictures
