"""Clocks that drift: a constant frequency offset and white frequency noise, on a fixed grid of world time."""

import math
from array import array

import numpy as np

_BLOCK_CELLS = 1024
_DRAWN_CELLS = 64
"""Cells for which noise is drawn at once: to begin a generator takes ten times as long as to draw."""
_KEPT_BLOCKS = 3
"""A simulator runs for weeks: readings are kept at the beginnings of blocks, and of all cells in the last few used."""


class Oscillator:
    """A clock's reading as a function of world time, straight within each grid cell.

    ``offset``: fractional frequency offset; ``allan_1s``: Allan deviation at 1 s of the white frequency noise;
    ``drift_per_s``: growth of the offset.
    The noise of a cell depends on seed and cell alone.
    """

    def __init__(
        self, seed: tuple[int, ...], offset: float, allan_1s: float, cell_s: float, drift_per_s: float = 0.0
    ) -> None:
        self._seed, self._offset, self._cell_s, self._drift = seed, offset, cell_s, drift_per_s
        self._noise = allan_1s / math.sqrt(cell_s)
        self._blocks_s = array("d", [0.0])
        self._block: dict[int, array[float]] = {}
        self._rate = (-1, 1.0)
        self._drawn: tuple[int, list[float]] = (-1, [])

    def rate(self, cell: int) -> float:
        """Return the clock's seconds per world second in a cell."""
        if self._rate[0] != cell:
            self._rate = (cell, self._drawn_rate(cell))
        return self._rate[1]

    def _drawn_rate(self, cell: int) -> float:
        ageing = self._drift * (cell + 0.5) * self._cell_s
        return 1.0 + self._offset + ageing + (self._noise * self._normal(cell) if self._noise else 0.0)

    def _normal(self, cell: int) -> float:
        block, within = divmod(cell, _DRAWN_CELLS)
        if self._drawn[0] != block:
            generator = np.random.default_rng((*self._seed, block))
            self._drawn = block, generator.normal(size=_DRAWN_CELLS).tolist()
        return self._drawn[1][within]

    def reading_s(self, world_s: float) -> float:
        """Return what the clock reads, seconds since world time 0."""
        cell = int(world_s / self._cell_s)
        block, within = divmod(cell, _BLOCK_CELLS)
        while len(self._blocks_s) <= block:
            self._blocks_s.append(self._readings_s(len(self._blocks_s) - 1, _BLOCK_CELLS)[_BLOCK_CELLS])
        return self._readings_s(block, within)[within] + (world_s - cell * self._cell_s) * self.rate(cell)

    def _readings_s(self, block: int, within: int) -> "array[float]":
        """Return the readings at the beginnings of a block's cells, up to one of them at least."""
        if block not in self._block:
            self._block[block] = array("d", [self._blocks_s[block]])
            if len(self._block) > _KEPT_BLOCKS:
                del self._block[next(iter(self._block))]
        readings_s = self._block[block]
        while len(readings_s) <= within:
            last = len(readings_s) - 1
            readings_s.append(readings_s[last] + self._cell_s * self.rate(block * _BLOCK_CELLS + last))
        return readings_s
