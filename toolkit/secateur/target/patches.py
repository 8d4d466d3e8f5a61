"""Which steps of a network are carried out by patches, and of what size, so that it fits a budget of RAM.

Chains of steps are chosen, and a grid of patches for each (after MCUNetV2, arXiv 2110.15352): of all that keep the live
buffers of every step within the budget, those with the least predicted instructions. Steps take RAM one after the
other, so what is best from a step on does not depend on what was chosen before it. A network that fits as it is stays
as it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from secateur.errors import BudgetInfeasible
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.operators.patch.part import Part
from secateur.operators.patch.rule import Link, Tiling, chain, over, result_window, rounds_of, tiled, tiling
from secateur.operators.patch.tiles import TILED
from secateur.operators.program import Patches, Program
from secateur.records import Cost
from secateur.target.arena import padded, plan
from secateur.target.cost import price, step_cost
from secateur.target.target import Target

SHORTEST = 2
"""Windows of a chain: between two of them lies an image that need not exist whole."""


def within(target: Target, network: Network, ram_bytes: int | None) -> Target:
    """The target with the patches that bring a network into a budget of RAM; itself where none are needed.

    Args:
        target: the board; what it has of patches is left out.
        network: to be fitted; only int8 is carried out by patches.
        ram_bytes: static RAM and stack, as predicted; None: no budget.

    Raises:
        BudgetInfeasible: no patches bring it there; says what can be reached.
        SecateurError: the network cannot be lowered or priced.
    """
    whole = target.model_copy(update={"patches": ()})
    if ram_bytes is None:
        return whole
    program = lower(network, whole.choice)
    cost = price(program, whole)
    if cost.ram_bytes <= ram_bytes:
        return whole
    search = _Search(program, whole, cost)
    patches = search.quickest(ram_bytes)
    if not patches:
        least, patches = search.smallest()
        if least is None or least > ram_bytes:
            raise BudgetInfeasible(
                "a network fits the RAM that it is given",
                f"it takes {cost.ram_bytes:,} B whole and "
                + ("no steps of it go by patches" if least is None else f"{least:,} B at least by patches")
                + f"; {ram_bytes:,} B were given",
                f"Raise --ram to {min(least or cost.ram_bytes, cost.ram_bytes):,} B, or prune the policy further.",
            )
    return whole.model_copy(update={"patches": patches})


def least_bytes(target: Target, network: Network) -> int | None:
    """The least RAM, static and stack, that patches bring a network to; None where no steps of it go by patches."""
    whole = target.model_copy(update={"patches": ()})
    program = lower(network, whole.choice)
    return _Search(program, whole, price(program, whole)).smallest()[0]


def applied(network: Network, target: Target) -> dict[str, Any] | None:
    """What of a network the target has carried out by patches, for a document; None where nothing is.

    Grid, patch and result are given as [down, right]; predictions of the whole are beside the chains.
    """
    if not target.patches:
        return None
    program = lower(network, target.choice)
    before = lower(network, replace(target.choice, patches=()))
    whole, labels = price(before, target), [step.label for step in program.steps]
    wholes = {step.label for step in before.steps}
    return {
        "chains": [
            {
                "first": program.steps[loop.first + 1].label,
                "last": program.steps[loop.last - 1].label,
                "grid": list(loop.grid),
                "patch": [loop.height, loop.width],
                "result": [loop.result_height, loop.result_width],
                "steps": len({*labels[loop.first : loop.last + 1]} & wholes),
            }
            for loop in program.loops
        ],
        "whole": {
            "static_ram_bytes": whole.static_ram_bytes,
            "ram_bytes": whole.ram_bytes,
            "instructions": whole.instructions,
        },
    }


def in_words(patches: Mapping[str, Any], cost: Mapping[str, Any] | None = None) -> str:
    """A sentence on ``applied``, and on what it takes by the prediction ``cost``."""
    chains = []
    for one in patches["chains"]:
        grid, patch, result = (" × ".join(map(str, one[name])) for name in ("grid", "patch", "result"))
        chains.append(f"{one['first']} to {one['last']} in {grid} patches of {patch} that make up {result}")
    text = f"By patches: {'; '.join(chains)}."
    if cost is None:
        return text
    whole = patches["whole"]
    return (
        f"{text} Predicted {cost['ram_bytes']:,} B of RAM where whole it is {whole['ram_bytes']:,} B, for "
        f"{cost['instructions'] / whole['instructions']:.2f} times the instructions."
    )


@dataclass(frozen=True)
class _Plan:
    """From a step on: what it takes, and the patches that make it so."""

    value: float
    tilings: tuple[Tiling, ...] = ()


class _Search:
    """Chains of a program, patches of them, and what each takes."""

    def __init__(self, program: Program, target: Target, cost: Cost) -> None:
        self.program, self.target, self.whole = program, target, cost
        self._live = plan(program.buffers).live_bytes
        self._instructions = [step_cost(step, target).instructions for step in program.steps]
        self._chains = [chain(program, start) for start in range(len(program.steps))]
        self._tiles: dict[tuple[int, object], tuple[float, int]] = {}

    def quickest(self, ram_bytes: int) -> tuple[Patches, ...]:
        """The patches with the least instructions of those that fit; none where none do.

        A plan of the arena may be larger than what lives at once, and a loop takes stack: then it is less room.
        """
        room = ram_bytes - self.whole.stack_bytes
        while True:
            found = self._from(room, self._quick)
            if found is None:
                return ()
            excess = self._price(found.tilings).ram_bytes - ram_bytes
            if excess <= 0:
                return self._labelled(found)
            room -= excess

    def smallest(self) -> tuple[int | None, tuple[Patches, ...]]:
        """The least RAM that any patches take, and those that do; None where there are none."""
        found = self._from(None, self._small)
        if found is None or not found.tilings:
            return None, ()
        return self._price(found.tilings).ram_bytes, self._labelled(found)

    def _from(self, room: int | None, best: Callable[..., tuple[float, Tiling] | None]) -> _Plan | None:
        """The best plan from the first step on; with ``room`` values add up, without the largest counts."""

        def joined(value: float, rest: _Plan) -> float:
            return max(value, rest.value) if room is None else value + rest.value

        count = len(self.program.steps)
        plans: list[_Plan | None] = [*[None] * count, _Plan(0.0)]
        for start in reversed(range(count)):
            options = []
            if (rest := plans[start + 1]) is not None and (room is None or self._live[start] <= room):
                own = self._live[start] if room is None else self._instructions[start]
                options.append(_Plan(joined(own, rest), rest.tilings))
            for links in self._prefixes(start):
                rest, end = plans[links[-1].index + 1], links[-1].index
                needed = room is None or any(live > room for live in self._live[start : end + 1])
                if rest is None or not needed or (found := best(links, room)) is None:
                    continue
                options.append(_Plan(joined(found[0], rest), (found[1], *rest.tilings)))
            plans[start] = min(options, key=lambda one: one.value, default=None)
        return plans[0]

    def _prefixes(self, start: int) -> Iterator[list[Link]]:
        """Chains from a step on with two windows and more."""
        windows = 0
        for end, link in enumerate(self._chains[start], 1):
            windows += link.slide.window is not None
            if windows >= SHORTEST:
                yield self._chains[start][:end]

    def _quick(self, links: Sequence[Link], room: int) -> tuple[float, Tiling] | None:
        """The quickest patches of a chain that fit: its instructions."""
        beside = self._beside(links)
        if self._small(links, None, room) is None:
            return None
        window = result_window(links)
        found: tuple[float, Tiling] | None = None
        for height in _sizes(window.target_height):
            for width in _sizes(window.target_width):
                each = tiling(links, height, width)
                if each is None or beside + _parts_bytes(each) > room:
                    continue
                instructions, arena = self._kernels(each)
                if beside + arena > room or (found is not None and instructions >= found[0]):
                    continue
                instructions = self._exactly(each)
                if found is None or instructions < found[0]:
                    found = instructions, each
        return found

    def _small(
        self, links: Sequence[Link], _room: int | None, enough: int | None = None
    ) -> tuple[float, Tiling] | None:
        """The smallest patches of a chain: the bytes that live at once; None above ``enough``."""
        beside = self._beside(links)
        window = result_window(links)
        found: tuple[float, Tiling] | None = None
        for height in {
            1,
            window.target_height,
        }:  # a whole axis may take less than a part with what surrounds it
            for width in {1, window.target_width}:
                each = tiling(links, height, width)
                if each is None or (enough is not None and beside + _parts_bytes(each) > enough):
                    continue
                arena = beside + self._kernels(each)[1]
                if (enough is None or arena <= enough) and (found is None or arena < found[0]):
                    found = arena, each
        return found

    def _price(self, tilings: Sequence[Tiling]) -> Cost:
        return price(tiled(self.program, tilings), self.target)

    def _labelled(self, plan: _Plan) -> tuple[Patches, ...]:
        def named(tiling: Tiling) -> Patches:
            first, last = (self.program.steps[tiling.links[place].index].label for place in (0, -1))
            result = tiling.parts[-1]
            return Patches(first, last, result.down.size, result.right.size)

        return tuple(named(each) for each in plan.tilings)

    def _beside(self, links: Sequence[Link]) -> int:
        """Bytes of what lives beside the parts: the first image, the last one, and what is for other steps."""
        first, last = links[0].index, links[-1].index
        inner = {link.target for link in links} - {links[-1].target}
        own = {links[-1].target, *self.program.steps[first].reads}
        return sum(
            padded(buffer.size_bytes)
            for number, buffer in enumerate(self.program.buffers)
            if number in own or (number not in inner and buffer.first <= first and buffer.last >= last)
        )

    def _kernels(self, tiling: Tiling) -> tuple[float, int]:
        """Instructions of the windows of all patches, and bytes of parts and scratch that live at once."""
        instructions, most = 0.0, 0
        for link, source, target in zip(tiling.links, tiling.parts, tiling.parts[1:]):
            if link.slide.window is not None:
                one, scratch = self._tile(link, source, target)
                instructions += tiling.patches * one
                most = max(most, padded(source.size_bytes) + padded(target.size_bytes) + padded(scratch))
        return instructions, most

    def _exactly(self, tiling: Tiling) -> float:
        """Instructions of all steps of a chain by patches."""
        steps = rounds_of(self.program, tiling, [])
        return sum(step_cost(step, self.target).instructions for step in steps)

    def _tile(self, link: Link, source: Part, target: Part) -> tuple[float, int]:
        """Instructions and scratch of a step over a part."""
        assert link.slide.window is not None
        window = over(link.slide.window, source, target)
        key = link.index, window
        if key not in self._tiles:
            whole = self.program.steps[link.index]
            step, scratch = TILED[whole.kernel](whole, (0, 0, 0), window)
            self._tiles[key] = step_cost(step, self.target).instructions, scratch
        return self._tiles[key]


def _parts_bytes(tiling: Tiling) -> int:
    """Of the parts on both sides of a window, at most."""
    return max(
        padded(one.size_bytes) + padded(two.size_bytes)
        for link, one, two in zip(tiling.links, tiling.parts, tiling.parts[1:])
        if link.slide.window is not None
    )


def _sizes(result: int) -> list[int]:
    """Sizes of patches that make up a result: the least for each number of them, falling."""
    return list(dict.fromkeys(-(-result // count) for count in range(1, result + 1)))
