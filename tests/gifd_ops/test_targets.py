from __future__ import annotations

from collections import Counter
from pathlib import Path

import matplotlib.cbook
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gifd_ops.pictures import scan_pictures
from gifd_ops.portraits import DOMAINS, SEED_RANGES, draw
from gifd_ops.targets import Target, into_blocks, load_picture, picture_targets, portrait_targets

SPLITS = ("tune", "select", "test")


def portrait_seed(target: Target) -> int:
    domain, number = target.target_id.split("-")
    assert domain == target.domain
    return int(number)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("seed", [0, 1, 48, 10**6])
def test_a_split_draws_from_its_own_seeds_only(split: str, seed: int) -> None:
    targets = portrait_targets(split, domains=DOMAINS, per_domain=8, seed=seed, size_px=16)
    assert all(portrait_seed(target) in SEED_RANGES[split] for target in targets)
    assert {target.split for target in targets} == {split}


def test_no_scene_is_drawn_twice_in_a_study() -> None:
    targets = [
        target
        for split in SPLITS
        for target in portrait_targets(split, domains=DOMAINS, per_domain=30, seed=0, size_px=16)
    ]
    seeds = [portrait_seed(target) for target in targets]
    assert len(set(seeds)) == len(seeds)
    assert len({target.seed for target in targets}) == len(targets)


@pytest.mark.parametrize("per_domain", [4, 10, 25])
def test_labels_are_balanced_within_every_domain(per_domain: int) -> None:
    targets = portrait_targets("tune", domains=DOMAINS, per_domain=per_domain, seed=3, size_px=16)
    assert Counter(target.domain for target in targets) == dict.fromkeys(DOMAINS, per_domain)
    for domain in DOMAINS:
        counts = Counter(target.label for target in targets if target.domain == domain)
        counts.update(dict.fromkeys(range(10), 0))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_a_target_is_the_portrait_of_its_seed() -> None:
    for target in portrait_targets("test", domains=DOMAINS[1:3], per_domain=3, seed=2, size_px=16):
        images, labels = draw([portrait_seed(target)], domain=target.domain, size_px=16)
        assert torch.equal(target.image, images[0])
        assert target.label == int(labels[0])


def test_more_targets_extend_fewer() -> None:
    few, many = (
        portrait_targets("tune", domains=("photo", "art"), per_domain=count, seed=0, size_px=16) for count in (2, 5)
    )
    known = {target.target_id: target for target in many}
    for target in few:
        assert known[target.target_id].seed == target.seed
        assert torch.equal(known[target.target_id].image, target.image)


def test_another_study_seed_attacks_other_people() -> None:
    first, second = (
        {target.target_id for target in portrait_targets("tune", domains=DOMAINS, per_domain=8, seed=s, size_px=16)}
        for s in (0, 1)
    )
    assert not first & second


def photo() -> Image.Image:
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg")) as image:
        return image.convert("RGB")


def photos(folder: Path) -> Path:
    for index, name in enumerate(["x/a.png", "x/b.jpg", "y/c.png"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo().crop((50 * index, 0, 50 * index + 120, 100)).save(path)
    return folder


def test_sub_folders_give_the_labels_of_pictures(tmp_path: Path) -> None:
    pictures = scan_pictures(photos(tmp_path), num_classes=10)
    chosen = [picture.sha256 for picture in pictures.values()][::-1]
    targets = picture_targets(pictures, chosen, split="test", num_classes=10, seed=0, size_px=32)
    assert [target.label for target in targets] == [1, 0, 0]
    assert [target.target_id for target in targets] == [f"user-{digest[:12]}" for digest in chosen]
    for target, path in zip(targets, reversed(pictures), strict=True):
        assert torch.equal(target.image, load_picture(path, size_px=32))


def test_pictures_without_classes_get_labels_from_the_seed_and_the_content(tmp_path: Path) -> None:
    folder = photos(tmp_path) / "x"

    def labels(seed: int, *, num_classes: int = 1000) -> dict[str, int]:
        pictures = scan_pictures(folder, num_classes=num_classes)
        chosen = sorted(picture.sha256 for picture in pictures.values())
        targets = picture_targets(pictures, chosen, split="tune", num_classes=num_classes, seed=seed, size_px=16)
        assert all(0 <= target.label < num_classes for target in targets)
        return {target.target_id: target.label for target in targets}

    first = labels(0)
    assert len(set(first.values())) == 2
    assert labels(1) != first
    labels(0, num_classes=2)
    (folder / "a.png").rename(folder / "renamed.png")
    assert labels(0) == first  # names of files do not enter


def test_a_picture_is_scaled_by_its_shorter_side_and_cropped_at_the_center(tmp_path: Path) -> None:
    wide = Image.new("RGB", (300, 100), (255, 0, 0))
    wide.paste((0, 0, 255), (100, 0, 200, 100))  # the middle third
    wide.save(tmp_path / "wide.png")
    wide.rotate(90, expand=True).save(tmp_path / "tall.png")
    for name in ("wide.png", "tall.png"):
        image = load_picture(tmp_path / name, size_px=32)
        assert image.shape == (3, 32, 32)
        assert image.dtype == torch.float32
        torch.testing.assert_close(image[:, 2:-2, 2:-2].mean(dim=(1, 2)), torch.tensor([0.0, 0.0, 1.0]))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_every_kind_of_picture_becomes_three_channels_in_range(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    photo().resize((70, 90)).convert(mode).save(path)
    image = load_picture(path, size_px=32)
    assert image.shape == (3, 32, 32)
    assert 0 <= float(image.min()) < 0.3
    assert 0.7 < float(image.max()) <= 1


def test_a_scaled_photo_keeps_its_colors(tmp_path: Path) -> None:
    square = photo().crop((0, 0, 320, 320))
    square.save(tmp_path / "square.png")
    image = load_picture(tmp_path / "square.png", size_px=32)
    expected = torch.tensor([sum(band.get_flattened_data()) / 320**2 / 255 for band in square.split()])
    torch.testing.assert_close(image.mean(dim=(1, 2)), expected, rtol=0, atol=5e-3)


def target_of(domain: str, index: int) -> Target:
    return Target(
        target_id=f"{domain}-{index}", domain=domain, split="tune", label=0, image=torch.zeros(3, 1, 1), seed=index
    )


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 5))
def test_blocks_cover_each_target_once_with_equally_many_of_every_domain(
    domains: int, each: int, per_domain: int
) -> None:
    targets = [target_of(f"d{domain}", index) for domain in range(domains) for index in range(each)]
    blocks = into_blocks(targets, per_domain=per_domain)
    ids = [target.target_id for block in blocks for target in block]
    assert sorted(ids) == sorted(target.target_id for target in targets)
    for place, block in enumerate(blocks):
        counts = Counter(target.domain for target in block)
        assert len(counts) == domains
        assert len(set(counts.values())) == 1
        assert counts["d0"] == per_domain or place == len(blocks) - 1
    assert into_blocks(targets, per_domain=per_domain) == blocks
