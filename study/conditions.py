"""What is held fixed beside the task: a search that could choose it would choose none, or the most. No torch.

The method is a condition too; its names stand in `search_spaces/registry.py`.
"""

from __future__ import annotations

CONTROLS = {
    "none": "the attack itself",
    "noise_gradient": "noise of the same norm per tensor in place of the gradient: what the prior alone would draw",
    "other_image": "the gradient of another image of the same label and domain: what the label alone gives away",
    "untrained_generator": "the same architecture with random weights: what training the generator is worth",
}
LABELS = {
    "inferred": "read off the shared gradient",
    "given": "granted by the threat model",
}


def read_controls(text: str) -> tuple[str, ...]:
    """The controls of a comma list; `all` and `none` are allowed. ValueError naming what there is."""
    names = [name for name in CONTROLS if name != "none"]
    if text in ("all", "none"):
        return tuple(names) if text == "all" else ()
    asked = [name.strip() for name in text.split(",")]
    for name in asked:
        if name not in names:
            raise ValueError(f"no control {name!r}; choose from {', '.join(names)}, or all, or none")
    return tuple(name for name in names if name in asked)
