"""What the authors' code does otherwise than the paper says, each a switch. Standard library only.

Found by reading and running their repository (ffhibnese/GIFD_Gradient_Inversion_Attack at ff243fe). The mended value is
the default; `REFERENCE` is what the published code does. `benchmarks/against_authors.py` shows that it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """How an attack treats what is done in two ways.

    All but restart_select concern stages of features alone: the other searches begin and end as their papers say.

    restart_select: `last` keeps the last restart's image, with the best one's score.
    share_restart_noises: restarts take turns at one set of noise maps; each goes on from what the one before left.
    rgb_skip: `drop` forgets the colors of the layers below where a stage starts, so that its first image jumps.
    stage_image: `before_update` shows a stage's image as it was before the last update.
    first_step: `zero` lets the warm-up begin at a learning rate of 0, so that every stage's first update is none.
    spherical: `on` gives latents and noise maps their first length again after each update (it stands in the authors'
    settings, but is never passed on: off).
    """

    restart_select: Literal["best", "last"] = "best"
    share_restart_noises: bool = False
    rgb_skip: Literal["carry", "drop"] = "carry"
    stage_image: Literal["after_update", "before_update"] = "after_update"
    first_step: Literal["ramped", "zero"] = "ramped"
    spherical: Literal["off", "on"] = "off"

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value not in CHOICES[name]:
                allowed = " or ".join(str(choice).lower() for choice in CHOICES[name])
                raise ValueError(f"{name} must be {allowed}, got {value!r}")


CHOICES: dict[str, tuple[str | bool, ...]] = {
    "restart_select": ("best", "last"),
    "share_restart_noises": (False, True),
    "rgb_skip": ("carry", "drop"),
    "stage_image": ("after_update", "before_update"),
    "first_step": ("ramped", "zero"),
    "spherical": ("off", "on"),
}
MENDED = Quirks()
REFERENCE = Quirks(
    restart_select="last",
    share_restart_noises=True,
    rgb_skip="drop",
    stage_image="before_update",
    first_step="zero",
)
COMPAT = {"mended": MENDED, "reference": REFERENCE}


def read_quirk(name: str, text: str) -> dict[str, Any]:
    """The one field that a person set, for `dataclasses.replace`; ValueError with what may be said."""
    names = [field.name for field in fields(Quirks)]
    if name not in names:
        raise ValueError(f"no quirk {name!r}; choose from {', '.join(names)}")
    by_text = {str(choice).lower(): choice for choice in CHOICES[name]}
    if text.lower() not in by_text:
        raise ValueError(f"quirk {name} must be {' or '.join(by_text)}, got {text!r}")
    return {name: by_text[text.lower()]}
