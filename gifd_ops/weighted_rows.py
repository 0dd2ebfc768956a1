"""A layer's rows whose gradients are weighted, entry by entry: how an attack answers what a defense did to entries."""

from __future__ import annotations

from torch import Tensor

from gifd_ops.inner_products import by_target
from gifd_ops.layer_rows import LayerRows


class WeightedRows(LayerRows):
    """Other rows, whose gradients G are seen as W * G; weights [targets, ...] broadcast against G, None is 1.

    A gradient that is weighted must be formed, so the short ways of layers with few positions are not taken.
    """

    def __init__(self, rows: LayerRows, weights: list[Tensor | None]) -> None:
        super().__init__(rows.layer, rows.entering, rows.leaving)
        self.rows, self.weights = rows, weights

    def gradients(self) -> list[Tensor]:
        return self._weighted(self.rows.gradients())

    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self.rows.pull_back(self._weighted(directions))

    def _weighted(self, values: list[Tensor]) -> list[Tensor]:
        pairs = zip(values, self.weights, strict=True)
        return [v if w is None else (by_target(v, len(w)) * w[:, None]).flatten(0, 1) for v, w in pairs]
