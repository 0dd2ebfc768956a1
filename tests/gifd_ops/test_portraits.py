from __future__ import annotations

import itertools

import pytest
import torch

from gifd_ops.portraits import CLASSES, DOMAINS, SEED_RANGES, draw
from gifd_ops.tasks import PORTRAITS

SEEDS = [3, 1_000_017, 2_345_678, 3_999_999, 40]


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_seed_gives_the_same_image_whatever_is_drawn_beside_it(domain: str) -> None:
    together, _ = draw(SEEDS, domain=domain)
    backwards, _ = draw(SEEDS[::-1], domain=domain)
    assert torch.equal(backwards.flip(0), together)
    for seed, image in zip(SEEDS, together, strict=True):
        assert torch.equal(draw([seed], domain=domain)[0][0], image)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_global_random_state_plays_no_part(domain: str) -> None:
    torch.manual_seed(1)
    first, _ = draw([7], domain=domain)
    torch.manual_seed(2)
    assert torch.equal(draw([7], domain=domain)[0], first)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("size_px", [16, 32, 64])
def test_images_are_in_range_and_labels_are_the_last_digit_of_the_seed(domain: str, size_px: int) -> None:
    seeds = range(100, 130)
    images, labels = draw(seeds, domain=domain, size_px=size_px)
    assert images.shape == (30, 3, size_px, size_px)
    assert images.dtype == torch.float32
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    assert labels.tolist() == [seed % 10 for seed in seeds]


@pytest.mark.parametrize("domain", DOMAINS)
def test_two_seeds_show_two_people(domain: str) -> None:
    images, _ = draw([10, 20, 30], domain=domain)  # one class, so the hair is no help
    for first, second in itertools.combinations(images, 2):
        assert float((first - second).abs().mean()) > 0.02


def test_a_domain_changes_the_look_of_a_scene() -> None:
    by_domain = {domain: draw(range(20), domain=domain)[0] for domain in DOMAINS}
    for first, second in itertools.combinations(DOMAINS, 2):
        each = (by_domain[first] - by_domain[second]).abs().mean(dim=(1, 2, 3))
        assert float(each.min()) > 0.03, (first, second)


def test_a_sketch_has_no_color_and_a_cartoon_more_than_a_photo() -> None:
    def colorfulness(domain: str) -> float:
        images, _ = draw(range(30), domain=domain)
        return float((images.amax(dim=1) - images.amin(dim=1)).mean())

    assert colorfulness("sketch") == 0
    assert colorfulness("cartoon") > colorfulness("photo") > 0.1


def test_classes_differ_in_what_they_show() -> None:
    # the mean over many portraits of one class leaves the hair or headwear
    means = [draw(range(label, 2000, 10), domain="photo")[0].mean(dim=0) for label in range(10)]
    for first, second in itertools.combinations(range(10), 2):
        assert float((means[first] - means[second]).abs().mean()) > 0.01, (CLASSES[first], CLASSES[second])


def test_an_unknown_domain_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"photo, art, cartoon, sketch; got 'oil'"):
        draw([0], domain="oil")


def test_the_task_and_the_painters_agree() -> None:
    assert PORTRAITS.domains == DOMAINS
    assert PORTRAITS.in_distribution <= set(DOMAINS)
    assert PORTRAITS.num_classes == len(CLASSES)


def test_no_seed_is_in_two_ranges() -> None:
    assert set(SEED_RANGES) == {"train", "tune", "select", "test"}
    for first, second in itertools.combinations(SEED_RANGES.values(), 2):
        assert len(range(max(first.start, second.start), min(first.stop, second.stop))) == 0
    assert all(len(seeds) % len(CLASSES) == 0 and seeds.start % len(CLASSES) == 0 for seeds in SEED_RANGES.values())
