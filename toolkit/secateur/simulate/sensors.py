"""What disturbs sensors: numbers and images, as they are observed."""

from collections.abc import Iterator
from typing import Any, Protocol
from zlib import crc32

import gymnasium
import numpy as np
from gymnasium import spaces

from secateur.errors import SecateurError


class Level(Protocol):
    """What is to be disturbed, how much, and in units of what; see ``disturb.Disturbance``."""

    @property
    def kind(self) -> str:
        """Which of the kinds."""
        ...

    @property
    def level(self) -> float:
        """In the kind's own unit."""
        ...

    @property
    def scale(self) -> tuple[float, ...]:
        """What 1 is for each number."""
        ...


def generator_of(seed: int | None, kind: str) -> np.random.Generator:
    """Random numbers of one kind of disturbance in one episode."""
    return np.random.default_rng([seed or 0, crc32(kind.encode())])


def leaves(space: spaces.Space, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], spaces.Box]]:
    """The boxes of an observation, in alphabetical order of a dict's names."""
    if isinstance(space, spaces.Dict):
        for name in sorted(space.spaces):
            yield from leaves(space[name], (*path, name))
    elif isinstance(space, spaces.Box):
        yield path, space


def is_image(box: spaces.Box) -> bool:
    """Rows and columns of bytes."""
    return box.dtype == np.uint8 and len(box.shape) >= 2


def is_numbers(box: spaces.Box) -> bool:
    """Real numbers."""
    return bool(np.issubdtype(box.dtype, np.floating))


class _Sensed(gymnasium.Wrapper):
    """Changes what is observed, leaf by leaf."""

    def __init__(self, env: gymnasium.Env, disturbance: Level, control_hz: float) -> None:
        super().__init__(env)
        self.kind, self.level = disturbance.kind, disturbance.level
        self.generator = generator_of(0, self.kind)
        self.wanted = {path: box for path, box in leaves(env.observation_space) if self.takes(box)}
        self.scales = self._scales(disturbance.scale)

    def takes(self, box: spaces.Box) -> bool:
        """Which leaves it changes."""
        return is_numbers(box)

    def begin(self) -> None:
        """A new episode."""

    def change(self, value: np.ndarray, scale: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
        """One leaf."""
        raise NotImplementedError

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode, and the random numbers with it."""
        observation, info = self.env.reset(**kwargs)
        if kwargs.get("seed") is not None:
            self.generator = generator_of(kwargs["seed"], self.kind)
        self.begin()
        return self._changed(observation, ()), info

    def step(self, action: Any) -> Any:
        """One control period."""
        observation, *rest = self.env.step(action)
        return (self._changed(observation, ()), *rest)

    def _changed(self, observation: Any, path: tuple[str, ...]) -> Any:
        if isinstance(observation, dict):
            return {name: self._changed(observation[name], (*path, name)) for name in sorted(observation)}
        if path not in self.wanted:
            return observation
        value = np.asarray(observation)
        return self.change(value, self.scales[path], path).astype(value.dtype)

    def _scales(self, given: tuple[float, ...]) -> dict[tuple[str, ...], np.ndarray]:
        boxes = list(leaves(self.env.observation_space))
        sizes = [int(np.prod(box.shape)) if is_numbers(box) else 0 for _, box in boxes]
        if given and len(given) != sum(sizes):
            raise SecateurError(
                "a disturbance has a scale for each number of an observation",
                f"{len(given)} scales, {sum(sizes)} numbers",
                "Take the scales from episodes of the same task.",
            )
        flat = np.array(given) if given else np.ones(sum(sizes))
        found, start = {}, 0
        for (path, box), size in zip(boxes, sizes):
            found[path] = flat[start : start + size].reshape(box.shape) if size else np.ones(1)
            start += size
        return found


class Noise(_Sensed):
    """Noise."""

    def change(self, value: np.ndarray, scale: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
        """White, normal, of ``level`` × scale."""
        return value + self.level * scale * self.generator.standard_normal(value.shape)


class Bias(_Sensed):
    """A constant error."""

    def begin(self) -> None:
        """One sign for each number, for the whole episode."""
        self.signs = {
            path: self.generator.choice([-1.0, 1.0], size=box.shape) for path, box in self.wanted.items()
        }

    def change(self, value: np.ndarray, scale: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
        """Off by ``level`` × scale."""
        return value + self.level * scale * self.signs[path]


class Quantised(_Sensed):
    """Coarse steps."""

    def change(self, value: np.ndarray, scale: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
        """In steps of ``level`` × scale; a number that never moved stays as it is."""
        step = self.level * scale
        return np.where(step > 0, np.round(value / np.where(step > 0, step, 1)) * step, value)


class Dropped(gymnasium.Wrapper):
    """With a probability of ``level`` an observation is lost, and the one before it is seen again."""

    def __init__(self, env: gymnasium.Env, disturbance: Level, control_hz: float) -> None:
        super().__init__(env)
        self.level, self.generator, self.seen = disturbance.level, generator_of(0, "dropped"), None

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The first observation always arrives."""
        self.seen, info = self.env.reset(**kwargs)
        if kwargs.get("seed") is not None:
            self.generator = generator_of(kwargs["seed"], "dropped")
        return self.seen, info

    def step(self, action: Any) -> Any:
        """One control period."""
        observation, *rest = self.env.step(action)
        if self.generator.random() >= self.level:
            self.seen = observation
        return (self.seen, *rest)


class Exposure(_Sensed):
    """Brightness."""

    def takes(self, box: spaces.Box) -> bool:
        """Images."""
        return is_image(box)

    def change(self, value: np.ndarray, scale: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
        """``level`` times as bright; what is too bright is white."""
        return np.clip(np.round(self.level * value.astype(np.float64)), 0, 255)


class Occlusion(_Sensed):
    """Something before the lens."""

    def takes(self, box: spaces.Box) -> bool:
        """Images."""
        return is_image(box)

    def begin(self) -> None:
        """A black square somewhere, of ``level`` of the area, for the whole episode."""
        self.squares = {}
        for path, box in self.wanted.items():
            rows, columns = _rows_and_columns(box.shape)
            sizes = [max(1, round(box.shape[axis] * self.level**0.5)) for axis in (rows, columns)]
            starts = [
                int(self.generator.integers(box.shape[axis] - size + 1))
                for axis, size in zip((rows, columns), sizes)
            ]
            index: list[slice] = [slice(None)] * len(box.shape)
            for axis, start, size in zip((rows, columns), starts, sizes):
                index[axis] = slice(start, start + size)
            self.squares[path] = tuple(index)

    def change(self, value: np.ndarray, scale: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
        """The same place in every frame."""
        covered = value.copy()
        covered[self.squares[path]] = 0
        return covered


def _rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    """Which axes of an image these are: the last two where channels come before them, else the two before the last."""
    if len(shape) == 2 or shape[-1] > 4:
        return len(shape) - 2, len(shape) - 1
    return len(shape) - 3, len(shape) - 2
