"""What ``Task.to_inputs`` and ``Task.to_action`` do, as data that a robot can apply with numpy alone.

Most do little: scale, shift, clip, pick and reorder numbers. Such a map is found by asking the function: one element
is moved at a time, and what moves with it tells index and scale; far values tell limits. What was found is then held
against the function on inputs that it was not found by. A map that is anything else is not described.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces

_FAR = 1e6
_CHECKS = 32
_LARGEST = 65536


@dataclass(frozen=True, eq=False)
class ElementMap:
    """``out[k] = clip(scale[k] · in[index[k]] + offset[k], low[k], high[k])``, over flattened arrays."""

    shape: tuple[int, ...]
    index: np.ndarray
    scale: np.ndarray
    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Flattened ``[m]`` → ``[n]``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.clip(self.scale * values[self.index] + self.offset, self.low, self.high)

    def describe(self) -> dict[str, Any]:
        """As plain data; what is the same for all elements is one number, and neighbours are no list."""
        start = int(self.index[0]) if len(self.index) else 0
        neighbours = np.array_equal(self.index, start + np.arange(len(self.index)))
        return {
            "shape": list(self.shape),
            "index": {"start": start} if neighbours else self.index.tolist(),
            "scale": _short(self.scale),
            "offset": _short(self.offset),
            "low": _short(self.low),
            "high": _short(self.high),
        }


def _short(values: np.ndarray) -> Any:
    plain = [None if np.isinf(v) else float(v) for v in values]
    return plain[0] if plain and all(v == plain[0] for v in plain) else plain


def find_map(function: Callable[[np.ndarray], np.ndarray], whole: np.ndarray) -> ElementMap | None:
    """The map that ``function`` is, or None where it is no such map.

    Args:
        function: flattened ``[m]`` → array of any shape; must not keep state.
        whole: ``[m]``, which elements take whole numbers from 0 to 255 only.
    """
    if not 0 < len(whole) <= _LARGEST:
        return None
    generator = np.random.default_rng(0)
    base, step = np.where(whole, 100.0, 0.25), np.where(whole, 1.0, 0.125)
    try:
        start = np.asarray(function(base), np.float64)
        shape, before = start.shape, start.ravel()
        index, scale = np.zeros(len(before), int), np.zeros(len(before))
        claimed = np.zeros(len(before), bool)
        for element in range(len(base)):
            moved = base.copy()
            moved[element] += step[element]
            delta = np.asarray(function(moved), np.float64).ravel() - before
            touched = np.flatnonzero(delta)
            if claimed[touched].any():
                return None
            claimed[touched] = True
            index[touched], scale[touched] = element, delta[touched] / step[element]
        offset = before - scale * base[index]
        low, high = np.full(len(before), -np.inf), np.full(len(before), np.inf)
        ends = [np.asarray(function(np.where(whole, base, far)), np.float64).ravel() for far in (-_FAR, _FAR)]
        bent = ~whole[index] & (
            np.abs(ends[1] - (scale * _FAR + offset)) > 1e-3 * np.abs(scale * _FAR) + 1e-6
        )
        low[bent], high[bent] = np.minimum(*ends)[bent], np.maximum(*ends)[bent]
        found = ElementMap(shape, index, scale, offset, low, high)
        for _ in range(_CHECKS):
            drawn = np.where(
                whole, generator.integers(0, 256, len(base)), generator.normal(0, 2, len(base))
            ).astype(np.float64)
            got = np.asarray(function(drawn), np.float64)
            if got.shape != shape or not np.allclose(got.ravel(), found(drawn), 1e-5, 1e-5):
                return None
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    return found


@dataclass(frozen=True, eq=False)
class ObservationSpace:
    """An observation of a Gymnasium space as one flat array, in the order of sorted keys.

    Attributes:
        keys: of a dict; empty for a plain array.
        shapes, dtypes: of each key, or of the array.
    """

    keys: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]

    @property
    def whole(self) -> np.ndarray:
        """``[m]``, which elements are whole numbers."""
        parts = [
            np.full(int(np.prod(shape)), dtype.kind in "iu") for shape, dtype in zip(self.shapes, self.dtypes)
        ]
        return np.concatenate(parts)

    def pack(self, flat: np.ndarray) -> Any:
        """Flat ``[m]`` → an observation."""
        parts, start = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes):
            stop = start + int(np.prod(shape))
            parts.append(flat[start:stop].reshape(shape).astype(dtype))
            start = stop
        return dict(zip(self.keys, parts)) if self.keys else parts[0]


def observation_space(space: spaces.Space) -> ObservationSpace | None:
    """A Box, or a Dict of Boxes; None for anything else."""
    if isinstance(space, spaces.Box):
        return ObservationSpace((), (space.shape,), (np.dtype(space.dtype),))
    if isinstance(space, spaces.Dict) and all(isinstance(part, spaces.Box) for part in space.values()):
        keys = tuple(sorted(space.keys()))
        boxes = [space[key] for key in keys]
        return ObservationSpace(
            keys, tuple(b.shape or () for b in boxes), tuple(np.dtype(b.dtype) for b in boxes)
        )
    return None


def _input_of(
    to_inputs: Callable[[Any], Mapping[str, np.ndarray]],
    observed: ObservationSpace,
    name: str,
    flat: np.ndarray,
) -> np.ndarray:
    return to_inputs(observed.pack(flat))[name]


def describe_inputs(
    to_inputs: Callable[[Any], Mapping[str, np.ndarray]], space: spaces.Space
) -> dict[str, Any] | None:
    """What ``to_inputs`` does, as plain data; None where it is no map of elements."""
    observed = observation_space(space)
    if observed is None:
        return None
    maps = {}
    for name in to_inputs(observed.pack(np.zeros(len(observed.whole)))):
        found = find_map(partial(_input_of, to_inputs, observed, name), observed.whole)
        if found is None:
            return None
        maps[name] = found.describe()
    return {"keys": list(observed.keys), "shapes": [list(s) for s in observed.shapes], "inputs": maps}


def describe_action(
    to_action: Callable[[dict[str, np.ndarray]], Any], outputs: Mapping[str, Sequence[int]]
) -> dict[str, Any] | None:
    """What ``to_action`` does with outputs of these shapes, as plain data; None where it is no map of elements."""
    names, shapes = list(outputs), [tuple(outputs[name]) for name in outputs]
    packed = ObservationSpace(tuple(names), tuple(shapes), tuple(np.dtype(np.float32) for _ in names))
    found = find_map(lambda flat: to_action(packed.pack(flat)), packed.whole)
    return None if found is None else {"outputs": names, **found.describe()}
