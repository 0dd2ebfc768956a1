"""A figure is kept with its numbers, its caption and the name of what drew it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import publish, style


def draw() -> Figure:
    """A line."""
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [0, 1])
    return figure


def test_a_published_figure_lies_beside_its_numbers_and_its_caption(tmp_path: Path) -> None:
    table = pd.DataFrame({"domain": ["art"], "mean": [1.5]})
    with style():
        caption = publish(draw(), tmp_path / "a" / "line", caption="A line.", tables={"points": table}, drawn_by=draw)
    assert sorted(path.name for path in caption.parent.iterdir()) == ["line.md", "line.pdf", "line.png", "points.csv"]
    pd.testing.assert_frame_equal(pd.read_csv(caption.parent / "points.csv"), table)
    said = caption.read_text()
    assert said.startswith("A line.")
    assert "`points.csv`" in said
    assert f"{draw.__module__}.draw" in said
