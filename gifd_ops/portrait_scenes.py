"""What a portrait shows, before anybody paints it: flat shapes given by signed distances, back to front."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CLASSES = ("bald", "short", "bun", "mohawk", "fringe", "long", "cap", "bob", "afro", "beanie")
FAR = 1e3  # a distance no shape reaches: paints nothing

SKIN = torch.tensor(
    [[0.98, 0.85, 0.74], [0.93, 0.74, 0.58], [0.78, 0.56, 0.40], [0.55, 0.36, 0.25], [0.34, 0.22, 0.16]]
)
HAIR = torch.tensor(
    [[0.08, 0.06, 0.06], [0.30, 0.18, 0.10], [0.55, 0.32, 0.14], [0.88, 0.72, 0.38], [0.62, 0.22, 0.10]]
)


class Factors:
    """Named reading of the uniform numbers behind an image: each call to `take` uses up the next column."""

    def __init__(self, uniforms: Tensor) -> None:
        self.uniforms, self.used = uniforms, 0

    def take(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        column = self.uniforms[:, self.used]
        self.used += 1
        return (low + (high - low) * column)[:, None, None]  # [n, 1, 1], to broadcast over pixels


@dataclass(frozen=True)
class Layer:
    """A flat shape: signed distance [n, h, w] (negative inside) and color [n, 3]."""

    distance: Tensor
    color: Tensor
    outlined: bool = True
    lit: bool = True
    hatched: bool = False


@dataclass(frozen=True)
class Scene:
    """The layers of a picture, back to front, and what lies behind and falls on them."""

    layers: list[Layer]
    background: Tensor  # [n, 2, 3], the two ends of a gradient
    gradient: Tensor  # [n, h, w] in [0, 1]
    light: Tensor  # [n, h, w], a factor near 1


@dataclass(frozen=True)
class Pose:
    """How the head leans (radians, clockwise) and how far the person stands off the middle; each [n, 1, 1]."""

    tilt: Tensor
    right: Tensor
    down: Tensor


def ellipse(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    """Signed distance [n, h, w] of an ellipse around the origin, in proportion along its shorter half axis."""
    scale = torch.minimum(torch.as_tensor(rx), torch.as_tensor(ry))
    return (torch.sqrt((x / rx) ** 2 + (y / ry) ** 2) - 1) * scale


def box(x: Tensor, y: Tensor, half_w: Tensor | float, half_h: Tensor | float, corner: float) -> Tensor:
    """Signed distance [n, h, w] of a box around the origin with round corners."""
    dx, dy = x.abs() - half_w + corner, y.abs() - half_h + corner
    return torch.sqrt(dx.clamp(min=0) ** 2 + dy.clamp(min=0) ** 2) + torch.maximum(dx, dy).clamp(max=0) - corner


def both(first: Tensor, second: Tensor) -> Tensor:
    """Signed distance of what lies in both shapes."""
    return torch.maximum(first, second)


def either(first: Tensor, second: Tensor) -> Tensor:
    """Signed distance of what lies in one shape or the other."""
    return torch.minimum(first, second)


def palette(colors: Tensor, position: Tensor) -> Tensor:
    """Colors [n, 3] read from a table at positions [n, 1, 1] in [0, 1], blended between neighbors."""
    place = position.flatten() * (len(colors) - 1)
    low = place.floor().long().clamp(max=len(colors) - 2)
    blend = (place - low)[:, None]
    return colors[low] * (1 - blend) + colors[low + 1] * blend


def hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """RGB [n, 3] of hue, saturation and value [n, 1, 1] in [0, 1]."""
    turn = (hue.flatten()[:, None] * 6 + torch.tensor([5.0, 3.0, 1.0])) % 6
    part = torch.minimum(turn, 4 - turn).clamp(0, 1)
    return value.flatten()[:, None] * (1 - saturation.flatten()[:, None] * part)


def unseen_pose(u: Factors) -> Pose:
    """Poses beyond those of any photo: a lean of 0.35 to 0.7, and a stand too far off the middle."""
    return Pose(
        tilt=_to_either_side(u, 0.35, 0.7),
        right=_to_either_side(u, 0.2, 0.32),
        down=_to_either_side(u, 0.1, 0.2) + 0.07,
    )


def unseen_skin(u: Factors) -> Tensor:
    """Skins [n, 3] of no person: from green over blue to violet, where photos have browns."""
    return hsv(u.take(0.27, 0.85), u.take(0.5, 0.9), u.take(0.45, 0.95))


def _to_either_side(u: Factors, near: float, far: float) -> Tensor:
    """A number whose size is between `near` and `far`, to the left or to the right of zero."""
    side = u.take(-1, 1)
    return torch.where(side < 0, -1.0, 1.0) * (near + (far - near) * side.abs())


def build_scene(
    u: Factors, labels: Tensor, x: Tensor, y: Tensor, *, pose: Pose | None = None, skin: Tensor | None = None
) -> Scene:
    """The shapes of a portrait, back to front.

    pose, skin [n, 3]: in place of those that `u` gives; all else stays as it is.
    """
    given = Pose(tilt=u.take(-0.14, 0.14), right=u.take(-0.12, 0.12), down=u.take(0.0, 0.14))
    pose = given if pose is None else pose
    tilt = pose.tilt
    x, y = x - pose.right, y - pose.down
    page_x, page_y = x, y
    x, y = x * torch.cos(tilt) + y * torch.sin(tilt), y * torch.cos(tilt) - x * torch.sin(tilt)
    rx, ry = u.take(0.42, 0.54), u.take(0.52, 0.63)
    complexion = (palette(SKIN, u.take()) + u.take(-0.04, 0.04)[:, 0]).clamp(0, 1)
    skin = complexion if skin is None else skin
    hair = (palette(HAIR, u.take()) + u.take(-0.05, 0.05)[:, 0]).clamp(0, 1)
    wool = hsv(u.take(), u.take(0.4, 0.95), u.take(0.35, 0.95))
    shirt = hsv(u.take(), u.take(0.1, 0.9), u.take(0.2, 0.95))
    sky = torch.stack([hsv(u.take(), u.take(0.05, 0.6), u.take(0.35, 1.0)) for _ in range(2)], dim=1)
    turn = u.take(0, 2 * math.pi)
    gradient = (0.5 + 0.4 * (page_x * torch.cos(turn) + page_y * torch.sin(turn))).clamp(0, 1)
    light_from, light_gain = u.take(-math.pi, 0), u.take(0.12, 0.36)
    light = 1 + light_gain * (torch.cos(light_from) * x / rx + torch.sin(light_from) * y / ry).clamp(-1.3, 1.3)

    head = ellipse(x, y, rx, ry)
    behind, front = _headwear(u, labels, x, y, rx, ry, head)
    cover = torch.where(((labels == 6) | (labels == 9))[:, None], wool, hair)
    shoulders = ellipse(page_x, page_y - u.take(1.1, 1.25), u.take(0.68, 0.98), u.take(0.5, 0.64))
    neck = box(x, y - ry, rx * u.take(0.38, 0.55), 0.3, 0.05)
    ears = ellipse(x.abs() - rx, y - 0.02, 0.075, 0.12)

    eye_x, eye_y = rx * u.take(0.36, 0.48), -ry * u.take(0.02, 0.16)
    eye_w, eye_h = rx * u.take(0.17, 0.24), ry * u.take(0.07, 0.15)
    side = x.abs() - eye_x
    eyes = ellipse(side, y - eye_y, eye_w, eye_h)
    gaze_x, gaze_y = u.take(-0.4, 0.4) * eye_w, u.take(-0.25, 0.25) * eye_h
    iris_x = torch.minimum((x - eye_x - gaze_x).abs(), (x + eye_x - gaze_x).abs())
    iris = both(ellipse(iris_x, y - eye_y - gaze_y, eye_w * 0.55, eye_w * 0.55), eyes)
    iris_color = hsv(u.take(0.05, 0.65), u.take(0.3, 0.8), u.take(0.1, 0.55))
    brow_y = eye_y - eye_h - u.take(0.05, 0.11)
    brows = box(side, y - brow_y - u.take(-0.35, 0.35) * side, eye_w * 1.25, u.take(0.016, 0.04), 0.015)
    nose = ellipse(x, y - ry * u.take(0.14, 0.26), u.take(0.04, 0.08), u.take(0.08, 0.13))

    mouth_y, mouth_w = ry * u.take(0.48, 0.6), rx * u.take(0.28, 0.5)
    smile, lips = u.take(-0.5, 0.9), u.take(0.025, 0.075)
    mouth = ellipse(x, y - mouth_y + smile * x**2 / mouth_w, mouth_w, lips)
    mouth_color = skin * torch.tensor([0.75, 0.42, 0.42]) + torch.tensor([0.12, 0.0, 0.02])
    beard_on = u.take() < 0.28
    chin = both(head, ry * u.take(0.18, 0.42) - y + 0.25 * (rx - x.abs()))
    beard = torch.where(beard_on, both(chin, -ellipse(x, y - mouth_y, mouth_w * 1.15, lips * 1.9)), FAR)
    glasses_on, rim = u.take() < 0.3, u.take(0.018, 0.034)
    frames = either(
        box(side, y - eye_y, eye_w * 1.45, eye_h * 1.2 + 0.07, 0.06).abs() - rim,
        box(x, y - eye_y, eye_x - eye_w * 1.45, rim, 0.01),
    )
    glasses = torch.where(glasses_on, frames, FAR)
    glasses_color = hsv(u.take(), u.take(0.0, 0.7), u.take(0.05, 0.5))

    white = torch.full_like(skin, 0.95)
    layers = [
        Layer(behind, cover, hatched=True),
        Layer(shoulders, shirt),
        Layer(neck, skin * 0.86, outlined=False),
        Layer(ears, skin * 0.93),
        Layer(head, skin),
        Layer(beard, hair * 0.9, hatched=True),
        Layer(nose, skin * 0.88, outlined=False),
        Layer(mouth, mouth_color),
        Layer(eyes, white, lit=False),
        Layer(iris, iris_color, outlined=False, lit=False, hatched=True),
        Layer(brows, hair * 0.8, outlined=False, hatched=True),
        Layer(front, cover, hatched=True),
        Layer(glasses, glasses_color, lit=False, hatched=True),
    ]
    return Scene(layers=layers, background=sky, gradient=gradient.expand_as(head), light=light)


def _headwear(
    u: Factors, labels: Tensor, x: Tensor, y: Tensor, rx: Tensor, ry: Tensor, head: Tensor
) -> tuple[Tensor, Tensor]:
    """Signed distances [n, h, w] of what the class puts behind and in front of the head."""
    volume, line, lean, length = u.take(0.06, 0.14), u.take(-0.62, -0.38), u.take(-0.3, 0.3), u.take(0.6, 1.0)
    cap = ellipse(x, y + 0.04, rx + volume, ry + volume)  # the skull, a little larger
    nothing = torch.full_like(head, FAR)
    hairline = y - ry * line - 0.25 * lean * x + 0.35 * (x.abs() / rx) ** 3 * ry * -0.6
    crown = both(cap, hairline)
    sides = both(cap, 0.1 - (x.abs() - rx * 0.86))
    fringe = both(cap, y + ry * 0.34 - 0.5 * lean * x)
    curtain = either(cap, both(box(x, y - ry * length * 0.5, rx + volume, ry * length * 0.75, 0.1), -y - 0.05))
    bob = both(ellipse(x, y - 0.05, rx + volume * 1.9, ry * 1.02 + volume), y - ry * 0.62)
    bun = ellipse(x - lean * 0.3, y + ry + volume + 0.06, 0.16 + volume, 0.14 + volume * 0.6)
    mohawk = both(ellipse(x - lean * 0.15, y + ry * 0.92, 0.13 + volume * 0.5, 0.34 + volume), y + ry * 0.52)
    afro = ellipse(x, y + ry * 0.42, rx + 0.16 + volume * 1.6, ry * 0.82 + volume * 1.6)
    afro_front = both(afro, y + ry * 0.5 - 0.4 * (x.abs() / rx) ** 2 * ry)
    dome = both(cap, y + ry * 0.44)
    visor = box(x - torch.sign(lean) * rx * 0.55, y + ry * 0.44, rx * 0.85, 0.055, 0.05)
    beanie = either(both(cap, y + ry * 0.4), ellipse(x, y + ry + volume + 0.1, 0.1, 0.1))
    brim = box(x, y + ry * 0.44, rx * 1.02 + volume * 0.4, 0.085, 0.06)
    by_class = {
        "bald": (nothing, nothing),
        "short": (nothing, either(crown, both(sides, y + ry * 0.12))),
        "bun": (bun, crown),
        "mohawk": (nothing, mohawk),
        "fringe": (nothing, either(fringe, both(sides, y - ry * 0.1))),
        "long": (curtain, crown),
        "cap": (nothing, either(dome, visor)),
        "bob": (bob, fringe),
        "afro": (afro, afro_front),
        "beanie": (nothing, either(beanie, brim)),
    }
    which = labels[:, None, None]
    behind, front = nothing, nothing
    for index, name in enumerate(CLASSES):
        behind = torch.where(which == index, by_class[name][0], behind)
        front = torch.where(which == index, by_class[name][1], front)
    return behind, front
