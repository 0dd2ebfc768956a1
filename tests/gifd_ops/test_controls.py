from __future__ import annotations

import itertools

import torch

from gifd_ops.controls import noise_gradient
from gifd_ops.gradients import observe
from gifd_ops.portraits import SEED_RANGES, draw
from gifd_ops.targets import portrait_gallery, portrait_others, portrait_targets
from gifd_ops.victims import Victim

LABELS = torch.tensor([2, 7, 2])


def pictures(rows: int = 3) -> torch.Tensor:
    return torch.rand(rows, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_noise_has_the_norm_of_every_tensor_and_nothing_else_of_it(lenet: Victim) -> None:
    shared = observe(lenet, pictures(), LABELS)
    noise = noise_gradient(shared, seeds=[1, 2, 3])
    for true, drawn in zip(shared.gradients, noise.gradients, strict=True):
        torch.testing.assert_close(drawn.flatten(1).norm(dim=1), true.flatten(1).norm(dim=1))
    flat = [torch.cat([g.flatten(1) for g in kept.gradients], dim=1) for kept in (shared, noise)]
    assert float(torch.cosine_similarity(*flat, dim=1).abs().max()) < 0.1


def test_a_targets_noise_depends_on_its_own_seed_only(lenet: Victim) -> None:
    shared = observe(lenet, pictures(), LABELS)
    first, second = noise_gradient(shared, seeds=[1, 2, 3]), noise_gradient(shared, seeds=[9, 2, 8])
    for a, b in zip(first.gradients, second.gradients, strict=True):
        assert torch.equal(a[1], b[1])
        assert not torch.equal(a[0], b[0])


def test_another_image_has_the_class_and_domain_but_is_no_targets() -> None:
    targets = portrait_targets("test", domains=("photo", "sketch"), per_domain=10, seed=0, size_px=32)
    others = portrait_others(targets, size_px=32)
    for target, other in zip(targets, others, strict=True):
        assert float((other - target.image).abs().mean()) > 0.02
        seed = int(target.target_id.rpartition("-")[2]) - SEED_RANGES["test"].start + SEED_RANGES["other"].start
        image, label = draw([seed], domain=target.domain)
        assert torch.equal(image[0], other)
        assert int(label[0]) == target.label


def test_a_gallery_is_of_the_domain_follows_the_seed_and_holds_no_target() -> None:
    gallery = portrait_gallery("art", count=20, seed=0, size_px=32)
    assert gallery.shape == (20, 3, 32, 32)
    assert len(gallery.flatten(1).unique(dim=0)) == 20
    assert torch.equal(gallery, portrait_gallery("art", count=20, seed=0, size_px=32))
    assert not torch.equal(gallery, portrait_gallery("art", count=20, seed=1, size_px=32))
    assert not torch.equal(gallery, portrait_gallery("photo", count=20, seed=0, size_px=32))
    ranges = list(SEED_RANGES.values())
    assert all(a.stop <= b.start for a, b in itertools.pairwise(ranges))
