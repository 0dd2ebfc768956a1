from __future__ import annotations

import itertools

import torch
from torch import Tensor

from gifd_ops.object_scenes import OBJECTS, build_object_scene, object_kinds
from gifd_ops.portrait_scenes import Factors
from gifd_ops.portraits import NUM_FACTORS, PAINTERS

SIZE_PX = 32


def uniforms(rows: int) -> Tensor:
    return torch.rand(rows, NUM_FACTORS, generator=torch.Generator().manual_seed(6))


def kinds_of(u: Tensor) -> Tensor:
    return object_kinds(Factors(u)).flatten()


def things(u: Tensor) -> Tensor:
    """Where the thing is in each picture, [n, h, w] bool; the ground is none."""
    axis = (torch.arange(SIZE_PX) + 0.5) / SIZE_PX * 2 - 1
    layers = build_object_scene(Factors(u), axis[None, None, :], axis[None, :, None]).layers
    return torch.stack([layer.distance for layer in layers[1:]]).amin(dim=0) < 0


def test_each_kind_of_thing_comes_about_as_often_as_the_others() -> None:
    share = torch.bincount(kinds_of(uniforms(4000)), minlength=len(OBJECTS)) / 4000
    assert share.shape == (4,)
    assert float((share - 0.25).abs().max()) < 0.03


def test_the_largest_factor_still_names_a_thing() -> None:
    assert kinds_of(torch.ones(1, NUM_FACTORS)).tolist() == [3]  # a float32 may be rounded up to 1


def test_a_thing_fills_a_good_part_of_the_picture_and_is_not_cut_off() -> None:
    u = uniforms(1000)
    inside, kinds = things(u), kinds_of(u)
    area = inside.float().mean(dim=(1, 2))
    assert 0.1 < float(area.min()) < float(area.max()) < 0.5
    assert not inside[:, 0].any()
    assert not inside[:, :, [0, -1]].any()
    for kind, name in enumerate(OBJECTS):
        reaches_down = inside[kinds == kind, -1].any(dim=1)
        assert bool(reaches_down.all()) if name == "flower" else not reaches_down.any(), name


def test_kinds_have_the_outlines_of_what_they_are_named_after() -> None:
    u = uniforms(1000)
    inside, kinds = things(u), kinds_of(u)
    wide, high = inside.any(dim=1).sum(dim=1), inside.any(dim=2).sum(dim=1)
    by_name = {name: kinds == kind for kind, name in enumerate(OBJECTS)}
    assert bool((wide > 1.3 * high)[by_name["car"]].all())
    for name in ("tree", "flower"):
        assert bool((high > 1.1 * wide)[by_name[name]].all()), name
    houses = inside[by_name["house"]]
    half = houses.float().mean(dim=0)[:, : SIZE_PX // 2].sum(dim=1)  # a gable: a house grows wider towards the eaves
    assert bool((half[8:15].diff() > 0).all())


def test_kinds_look_different() -> None:
    u = uniforms(800)
    images = PAINTERS["objects"](Factors(u), torch.zeros(800), torch.zeros(800, 3, SIZE_PX, SIZE_PX), SIZE_PX)
    kinds = kinds_of(u)
    means = [images[kinds == kind].mean(dim=0) for kind in range(len(OBJECTS))]
    for first, second in itertools.combinations(range(len(OBJECTS)), 2):
        assert float((means[first] - means[second]).abs().mean()) > 0.03, (OBJECTS[first], OBJECTS[second])


def test_the_class_of_a_seed_says_nothing_about_the_thing() -> None:
    u, grain = uniforms(10), torch.zeros(10, 3, SIZE_PX, SIZE_PX)
    one, other = (
        PAINTERS["objects"](Factors(u), labels, grain, SIZE_PX) for labels in (torch.zeros(10), torch.ones(10))
    )
    assert torch.equal(one, other)
