"""What a picture of a thing shows: houses, trees, cars and flowers, none of them in any portrait."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gifd_ops.portrait_scenes import FAR, Factors, Layer, Scene, both, box, either, ellipse, hsv, palette

GROUND = torch.tensor([[0.36, 0.55, 0.24], [0.55, 0.66, 0.30], [0.80, 0.70, 0.48], [0.62, 0.60, 0.58]])
ROOF = torch.tensor([[0.62, 0.20, 0.14], [0.80, 0.40, 0.22], [0.42, 0.25, 0.18], [0.28, 0.32, 0.40]])
BARK = torch.tensor([[0.30, 0.20, 0.13], [0.48, 0.34, 0.22]])
PANE = torch.tensor([[0.62, 0.80, 0.92], [0.98, 0.88, 0.50]])


def object_kinds(u: Factors) -> Tensor:
    """Which of `OBJECTS` each row shows, [n, 1, 1] int64: the first factor says."""
    return (u.take() * len(OBJECTS)).long().clamp(max=len(OBJECTS) - 1)


def build_object_scene(u: Factors, x: Tensor, y: Tensor) -> Scene:
    """The shapes of a house, a tree, a car or a flower under a sky, back to front; `u` chooses which."""
    kind = object_kinds(u)
    page_x, page_y = x, y
    size, tilt = u.take(0.85, 1.04), u.take(-0.06, 0.06)
    x, y = (x - u.take(-0.12, 0.12)) / size, (y - u.take(-0.06, 0.08)) / size
    x, y = x * torch.cos(tilt) + y * torch.sin(tilt), y * torch.cos(tilt) - x * torch.sin(tilt)
    sky = torch.stack([hsv(u.take(0.48, 0.66), u.take(0.08, 0.5), u.take(0.75, 1.0)) for _ in range(2)], dim=1)
    turn = u.take(0, 2 * math.pi)
    gradient = (0.5 + 0.4 * (page_x * torch.cos(turn) + page_y * torch.sin(turn))).clamp(0, 1)
    light_from, light_gain = u.take(-math.pi, 0), u.take(0.12, 0.32)
    light = 1 + light_gain * ((torch.cos(light_from) * x + torch.sin(light_from) * y) / 0.7).clamp(-1.3, 1.3)
    horizon = u.take(0.3, 0.55) + u.take(-0.1, 0.1) * page_x - page_y
    ground = palette(GROUND, u.take()) + u.take(-0.05, 0.05)[:, 0]

    layers = [Layer(horizon, ground)]
    for index, build in enumerate(BUILDERS.values()):
        own = Factors(u.uniforms[:, u.used :])  # one kind is shown, so all kinds may read the same columns
        for layer in build(own, x, y):
            layers.append(replace(layer, distance=torch.where(kind == index, layer.distance * size, FAR)))
    return Scene(layers=layers, background=sky, gradient=gradient.expand_as(light), light=light)


def _wedge(x: Tensor, y: Tensor, top: Tensor | float, bottom: Tensor | float, half_h: Tensor | float) -> Tensor:
    """Signed distance [n, h, w] of an upright trapezoid around the origin, of half widths and half height."""
    middle, slope = (torch.as_tensor(top) + bottom) / 2, (torch.as_tensor(bottom) - top) / (2 * half_h)
    return both((x.abs() - middle - slope * y) / torch.sqrt(1 + slope**2), y.abs() - half_h)


def _house(u: Factors, x: Tensor, y: Tensor) -> list[Layer]:
    half_w, half_h, rise = u.take(0.46, 0.62), u.take(0.3, 0.4), u.take(0.2, 0.3)
    middle = 0.62 - half_h
    eaves = middle - half_h
    wall = hsv(u.take(), u.take(0.05, 0.5), u.take(0.7, 0.98))
    roof, door = palette(ROOF, u.take()), hsv(u.take(), u.take(0.4, 0.9), u.take(0.25, 0.6))
    pane, frame = palette(PANE, u.take()), torch.full_like(wall, 0.96)
    side = torch.where(u.take() < 0.5, -1.0, 1.0)
    aside, door_h = u.take() < 0.4, u.take(0.19, 0.24)  # a door in the middle of two windows, or beside a wide one
    door_x = torch.where(aside, side * half_w * 0.5, 0.0)
    window_x = torch.where(aside, x + side * half_w * 0.38, x.abs() - half_w * 0.62)
    window_y, window_h = y - middle + half_h * 0.25, u.take(0.09, 0.12)
    window_w = torch.where(aside, 1.5 * window_h, window_h)
    bars = either(window_x.abs(), window_y.abs()) - 0.018
    return [
        Layer(box(x + side * half_w * 0.45, y - eaves + rise, 0.08, rise + 0.08, 0.01), roof * 0.8),
        Layer(box(x, y - middle, half_w, half_h, 0.01), wall),
        Layer(_wedge(x, y - eaves + rise, 0.03, half_w + 0.14, rise), roof),
        Layer(box(x - door_x, y - 0.62 + door_h, 0.105, door_h, 0.02), door),
        Layer(ellipse(x - door_x - 0.055, y - 0.62 + door_h, 0.022, 0.022), frame),
        Layer(box(window_x, window_y, window_w + 0.03, window_h + 0.03, 0.01), frame, lit=False),
        Layer(both(box(window_x, window_y, window_w, window_h, 0.01), -bars), pane, lit=False),
    ]


def _tree(u: Factors, x: Tensor, y: Tensor) -> list[Layer]:
    conifer = u.take() < 0.4
    trunk_w, bark = u.take(0.07, 0.11), palette(BARK, u.take())
    leaf = hsv(u.take(0.2, 0.4), u.take(0.5, 0.85), u.take(0.3, 0.62))
    autumn = hsv(u.take(0.03, 0.15), u.take(0.65, 0.95), u.take(0.65, 0.92))
    turned = (u.take() < 0.25) & ~conifer
    leaf = torch.where(turned[:, 0], autumn, leaf)
    spread, lean = u.take(0.9, 1.12), u.take(-0.12, 0.12)
    puffs = ((0.0, -0.48, 0.3), (-0.3, -0.28, 0.28), (0.3, -0.3, 0.28), (0.0, -0.15, 0.3))
    crown, shine = torch.full_like(x, FAR), torch.full_like(x, FAR)
    for right, down, radius in puffs:
        wide = radius * u.take(0.85, 1.2) * spread
        crown = either(crown, ellipse(x - right * spread - lean, y - down, wide, wide))
        shine = either(shine, ellipse(x - right * spread - lean + 0.08, y - down + 0.09, wide * 0.45, wide * 0.38))
    tiers = torch.full_like(x, FAR)
    for middle, width in ((-0.6, 0.3), (-0.28, 0.43), (0.06, 0.55)):
        tiers = either(tiers, _wedge(x, y - middle, 0.02, width * spread * 0.95, 0.25))
    fruit_on = (u.take() < 0.5) & ~conifer & ~turned
    fruits = torch.full_like(x, FAR)
    for _ in range(5):
        hang_x, hang_y = x - lean - u.take(-0.42, 0.42), y - u.take(-0.6, -0.02)
        fruits = either(fruits, ellipse(hang_x, hang_y, 0.06, 0.06))
    fruit = hsv(u.take(-0.03, 0.04) % 1, u.take(0.75, 0.95), u.take(0.75, 0.95))
    return [
        Layer(_wedge(x, y - 0.4, trunk_w, trunk_w * 1.5, 0.36), bark),
        Layer(torch.where(conifer, tiers, crown), leaf),
        Layer(torch.where(conifer, FAR, shine), (leaf * 1.25).clamp(max=1)),
        Layer(torch.where(fruit_on, both(fruits, crown + 0.03), FAR), fruit),
    ]


def _car(u: Factors, x: Tensor, y: Tensor) -> list[Layer]:
    x = x * torch.where(u.take() < 0.5, -1.0, 1.0)  # which way it drives
    half_w, half_h = u.take(0.66, 0.78), u.take(0.14, 0.18)
    cabin_x, cabin_h = u.take(-0.2, -0.02), u.take(0.15, 0.2)
    roof_w, sill_w = u.take(0.24, 0.36), u.take(0.44, 0.52)
    paint = hsv(u.take(), u.take(0.55, 0.95), u.take(0.5, 0.95))
    body_y, wheel, wheel_x = 0.34, u.take(0.15, 0.19), half_w * u.take(0.52, 0.62)
    cabin_y = body_y - half_h - cabin_h
    axle_x, axle_y = x.abs() - wheel_x, y - body_y - half_h
    glass = both(
        _wedge(x - cabin_x, y - cabin_y - 0.02, roof_w - 0.05, sill_w - 0.09, cabin_h - 0.045),
        0.03 - (x - cabin_x).abs(),
    )
    pane = torch.tensor([0.75, 0.88, 0.95]).expand_as(paint) * u.take(0.75, 1.0)[:, 0]
    dark, metal = torch.full_like(paint, 0.1), torch.full_like(paint, 0.8)
    lamp = torch.tensor([1.0, 0.92, 0.55]).expand_as(paint)
    return [
        Layer(_wedge(x - cabin_x, y - cabin_y, roof_w, sill_w, cabin_h + 0.02), paint),
        Layer(box(x, y - body_y, half_w, half_h, 0.1), paint),
        Layer(glass, pane, lit=False),
        Layer(ellipse(x - half_w + 0.07, y - body_y + 0.03, 0.06, 0.06), lamp, lit=False),
        Layer(ellipse(axle_x, axle_y, wheel, wheel), dark, lit=False),
        Layer(ellipse(axle_x, axle_y, wheel * 0.48, wheel * 0.48), metal, lit=False),
    ]


def _flower(u: Factors, x: Tensor, y: Tensor) -> list[Layer]:
    num_petals = u.take(5, 9).floor().clamp(max=8)
    bend, head_y = u.take(-0.2, 0.2), u.take(-0.34, -0.2)
    hue = u.take(0.72, 1.18) % 1  # from violet over red to yellow: no petal is green
    petal = hsv(hue, u.take(0.15, 0.9), u.take(0.85, 1.0))
    heart = hsv(u.take(0.08, 0.16), u.take(0.7, 0.95), u.take(0.5, 0.95))
    green = hsv(u.take(0.24, 0.38), u.take(0.5, 0.85), u.take(0.3, 0.6))
    reach, long, core = u.take(0.26, 0.32), u.take(0.19, 0.25), u.take(0.13, 0.18)
    turn = u.take(0, 2 * math.pi)
    down = y - head_y
    sector = 2 * math.pi / num_petals
    radius, angle = torch.sqrt(x**2 + down**2), torch.atan2(x, down) + turn
    folded = torch.remainder(angle, sector) - sector / 2  # all petals lie on one
    petals = ellipse(
        radius * torch.sin(folded), radius * torch.cos(folded) - reach, 1.05 * reach * torch.tan(sector / 2), long
    )
    stem = both((x - bend * down**2).abs() - 0.04, -down)
    leaves = torch.full_like(stem, FAR)
    for sign in (-1.0, 1.0):
        leaf_x, leaf_y = sign * x - 0.24, y - u.take(0.42, 0.66)
        leaf_x, leaf_y = leaf_x * 0.8 - leaf_y * 0.6, leaf_y * 0.8 + leaf_x * 0.6
        leaves = either(leaves, ellipse(leaf_x, leaf_y, 0.24, 0.09))
    return [
        Layer(stem, green * 0.9),
        Layer(leaves, green),
        Layer(petals, petal),
        Layer(ellipse(x, down, core, core), heart),
    ]


BUILDERS: dict[str, Callable[[Factors, Tensor, Tensor], list[Layer]]] = {
    "house": _house,
    "tree": _tree,
    "car": _car,
    "flower": _flower,
}
OBJECTS = tuple(BUILDERS)
