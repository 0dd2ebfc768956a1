from __future__ import annotations

import colorsys
import itertools

import pytest
import torch
from torch import Tensor

from gifd_ops.portrait_scenes import Factors, Pose, build_scene, unseen_pose
from gifd_ops.portraits import CLASSES, DOMAINS, NUM_FACTORS, OWN_FACTORS, PAINTERS, SEED_RANGES, draw
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
def test_two_seeds_show_two_people_or_things(domain: str) -> None:
    images, _ = draw([10, 20, 30], domain=domain)  # one class, so the hair is no help
    for first, second in itertools.combinations(images, 2):
        assert float((first - second).abs().mean()) > 0.02


def test_a_domain_changes_the_look_of_a_scene() -> None:
    by_domain = {domain: draw(range(20), domain=domain)[0] for domain in DOMAINS}
    for first, second in itertools.combinations(DOMAINS, 2):
        each = (by_domain[first] - by_domain[second]).abs().mean(dim=(1, 2, 3))
        assert float(each.min()) > 0.015, (first, second)  # little skin shows under an afro
        assert float(each.mean()) > 0.04, (first, second)


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


def test_photos_are_those_that_the_embedded_generator_was_trained_on() -> None:
    images, _ = draw(range(10), domain="photo")
    means = [0.471507, 0.640929, 0.501311, 0.636746, 0.370945, 0.518479, 0.645500, 0.531521, 0.476203, 0.559848]
    spreads = [0.164635, 0.204461, 0.171398, 0.184476, 0.135467, 0.165189, 0.175929, 0.150758, 0.185368, 0.177922]
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), torch.tensor(means), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std(dim=(1, 2, 3)), torch.tensor(spreads), atol=1e-5, rtol=0)


def uniforms(rows: int) -> Tensor:
    return torch.rand(rows, NUM_FACTORS, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("owner", OWN_FACTORS)
def test_a_domain_has_factors_to_itself_so_that_the_photo_of_a_seed_knows_nothing_of_it(owner: str) -> None:
    labels, grain = torch.arange(20) % 10, torch.zeros(20, 3, 16, 16)
    before = uniforms(20)
    after = before.clone()
    after[:, OWN_FACTORS[owner]] = 1 - after[:, OWN_FACTORS[owner]]
    for domain in [name for name in DOMAINS if name != "objects"]:
        images, others = (PAINTERS[domain](Factors(u), labels, grain, 16) for u in (before, after))
        each = (images - others).abs().amax(dim=(1, 2, 3))
        assert float(each.min()) > 0.02 if domain == owner else float(each.max()) == 0, domain


def test_an_alien_is_the_person_of_the_photo_with_a_skin_that_no_photo_has() -> None:
    photos, _ = draw(range(300), domain="photo")
    aliens, _ = draw(range(300), domain="alien")
    changed = (photos - aliens).abs().amax(dim=1) > 0.1  # [n, h, w]

    def hue(image: Tensor, where: Tensor) -> float:
        return colorsys.rgb_to_hsv(*image[:, where].median(dim=1).values.tolist())[0]

    skins = [hue(photo, where) for photo, where in zip(photos, changed, strict=True)]
    alien_skins = [hue(alien, where) for alien, where in zip(aliens, changed, strict=True)]
    assert max(skins) + 0.05 < min(alien_skins)
    assert max(alien_skins) < 1 + min(skins) - 0.05  # hues go round
    assert max(alien_skins) - min(alien_skins) > 0.5  # green, blue and violet
    unchanged = (photos == aliens).all(dim=1).float().mean(dim=(1, 2))
    assert float(unchanged.min()) > 0.2


def seen_pose(u: Factors, *, pose: Pose | None) -> Tensor:
    """Lean, and place right of and below the middle, of the head in the picture: [n, 3]."""
    axis = torch.linspace(-1.5, 1.5, 61)
    x, y = axis[None, None, :], axis[None, :, None]
    layers = build_scene(u, torch.arange(len(u.uniforms)) % 10, x, y, pose=pose).layers
    ears, head = ((layers[place].distance < 0).float() for place in (3, 4))

    def mean(values: Tensor, weights: Tensor) -> Tensor:
        return (values * weights).sum(dim=(1, 2), keepdim=True) / weights.sum(dim=(1, 2), keepdim=True)

    right, down = mean(x, head), mean(y, head)
    across, along = x - mean(x, ears), y - mean(y, ears)
    lean = 0.5 * torch.atan2(2 * mean(across * along, ears), mean(across**2 - along**2, ears))
    return torch.cat([lean, right, down], dim=1).flatten(1)


def test_an_unseen_pose_leans_and_stands_further_off_than_any_photo() -> None:
    u = uniforms(300)
    photos = seen_pose(Factors(u), pose=None)
    posed = seen_pose(Factors(u), pose=unseen_pose(Factors(u[:, OWN_FACTORS["pose"]])))
    middle = (photos.amax(dim=0) + photos.amin(dim=0)) / 2
    reach = (photos - middle).abs().amax(dim=0)
    assert bool(((posed - middle).abs() > 1.15 * reach).all())
    assert bool(((posed > middle).float().mean(dim=0) - 0.5).abs().max() < 0.1)  # to either side
    assert 0.3 < float(posed[:, 0].abs().min()) < float(posed[:, 0].abs().max()) < 0.75


def test_no_object_is_as_near_to_the_portraits_as_another_portrait_is() -> None:
    known = draw(range(1500), domain="photo", size_px=16)[0].flatten(1)
    mean = known.mean(dim=0)
    basis = torch.linalg.svd(known - mean, full_matrices=False)[2][:100]

    def left_over(domain: str) -> Tensor:
        images = draw(range(5000, 5100), domain=domain, size_px=16)[0].flatten(1) - mean
        return (images - images @ basis.T @ basis).norm(dim=1) / images.norm(dim=1)

    assert float(left_over("objects").quantile(0.05)) > float(left_over("photo").quantile(0.95))


def test_an_unknown_domain_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"photo, art, cartoon, sketch, alien, pose, objects; got 'oil'"):
        draw([0], domain="oil")


def test_the_task_and_the_painters_agree() -> None:
    assert PORTRAITS.domains == DOMAINS
    assert PORTRAITS.in_distribution <= set(DOMAINS)
    assert PORTRAITS.num_classes == len(CLASSES)


def test_no_seed_is_in_two_ranges() -> None:
    assert set(SEED_RANGES) == {"train", "tune", "select", "test", "other", "gallery"}
    for first, second in itertools.combinations(SEED_RANGES.values(), 2):
        assert len(range(max(first.start, second.start), min(first.stop, second.stop))) == 0
    assert all(len(seeds) % len(CLASSES) == 0 and seeds.start % len(CLASSES) == 0 for seeds in SEED_RANGES.values())
