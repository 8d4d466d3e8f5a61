"""Channels behind concatenations and splits: torch-pruning 1.6.1 takes other columns than it should, or fails.

Its open issues 146 (a tensor concatenated with itself) and 481 (two sources joined into one group) describe such
networks. The plain shapes they give come out right in 1.6.1; the shapes below, which policies have, do not.
"""

import warnings
from copy import deepcopy

import pytest
import torch
import torch_pruning
from architectures import one_entry
from masking import assert_cut_equals_masked, masked, random_keep
from torch import nn

from secateur.prune.analyse import analyse
from secateur.prune.surgery import cut


class Fusion(nn.Module):
    """Two layers of one kind, joined in some way, and a head."""

    def __init__(self, width: int, joined: int, convolutional: bool = False) -> None:
        super().__init__()
        layer = (lambda a, b: nn.Conv2d(a, b, 1)) if convolutional else nn.Linear
        self.first, self.second, self.head = layer(3, width), layer(joined, 7), nn.Linear(7, 2)

    def finish(self, x):
        y = torch.relu(self.second(x))
        return self.head(y.mean((2, 3)) if y.dim() == 4 else y)


class ObservationInFront(Fusion):
    """The observation itself, then features of it."""

    def forward(self, x):
        return self.finish(torch.cat([x, torch.relu(self.first(x))], 1))


class TwiceFlattened(Fusion):
    """An image flattened, concatenated with itself (two frames through one encoder, say)."""

    def __init__(self) -> None:
        super().__init__(6, 6 * 4 * 2)
        self.first = nn.Conv2d(3, 6, 3)

    def forward(self, x):
        y = torch.relu(self.first(x)).flatten(1)
        return self.finish(torch.cat([y, y], 1))


class SplitInTwo(Fusion):
    """Features that go two ways, the second the wider, and come together again."""

    def __init__(self, convolutional: bool) -> None:
        super().__init__(12, 8, convolutional)
        self.other = nn.Conv2d(4, 7, 1) if convolutional else nn.Linear(4, 7)
        self.head = nn.Linear(14, 2)

    def forward(self, x):
        sizes = [self.other.weight.shape[1], self.second.weight.shape[1]]
        one, two = torch.relu(self.first(x)).split(sizes, 1)
        y = torch.cat([self.other(one), self.second(two)], 1)
        return self.head(y.mean((2, 3)) if y.dim() == 4 else y)


class SplitElsewhere(Fusion):
    """Two sources fused, and split again at another place."""

    def __init__(self) -> None:
        super().__init__(4, 6, convolutional=True)
        self.camera, self.other = nn.Conv2d(3, 8, 1), nn.Conv2d(6, 7, 1)

    def forward(self, x):
        y = torch.relu(torch.cat([self.first(x), self.camera(x)], 1))
        one, two = y.split([self.other.in_channels, self.second.in_channels], 1)
        return self.finish(two) + self.head(self.other(one).mean((2, 3)))


class TwicePlain(Fusion):
    """As issue 146 has it."""

    def forward(self, x):
        y = torch.relu(self.first(x))
        return self.finish(torch.cat([y, y], 1))


class TwoSources(Fusion):
    """As issue 481 has it."""

    def __init__(self) -> None:
        super().__init__(4, 9)
        self.wide = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5))

    def forward(self, x):
        return self.finish(torch.cat([self.first(x), self.wide(x)], -1))


IMAGE, ROW = torch.randn(3, 3, 4, 4), torch.randn(3, 3)
WRONG = {
    "observation-in-front": (lambda: ObservationInFront(6, 9), ROW),
    "image-in-front": (lambda: ObservationInFront(6, 9, True), IMAGE),
    "twice-flattened": (TwiceFlattened, IMAGE),
    "split": (lambda: SplitInTwo(False), ROW),
    "split-image": (lambda: SplitInTwo(True), IMAGE),
}
"""Networks that run after torch-pruning has cut them, and compute something else."""

OTHERS = {
    "split-elsewhere": (SplitElsewhere, IMAGE),
    "twice": (lambda: TwicePlain(6, 12), ROW),
    "twice-image": (lambda: TwicePlain(6, 12, True), IMAGE),
    "two-sources": (TwoSources, ROW),
}
GONE = [1, 2]


def _policy(name):
    torch.manual_seed(0)
    build, x = (WRONG | OTHERS)[name]
    return one_entry(build(), x=x)


def _cut_by_torch_pruning(policy):
    module, x = deepcopy(policy.module), policy.entry().example_inputs["x"]
    cutter = (
        torch_pruning.prune_linear_out_channels
        if isinstance(module.first, nn.Linear)
        else torch_pruning.prune_conv_out_channels
    )
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=x)
        graph.get_pruning_group(module.first, cutter, idxs=GONE).prune()
    with torch.no_grad():
        return module(x)


@pytest.mark.parametrize("name", WRONG | OTHERS)
def test_ours_is_right(name):
    policy = _policy(name)
    graph = analyse(policy)
    for seed in range(8):
        assert_cut_equals_masked(policy, graph, random_keep(graph, seed))


@pytest.mark.parametrize("name", WRONG)
def test_torch_pruning_takes_other_channels(name):
    policy = _policy(name)
    graph = analyse(policy)
    width = graph.by_name["first"].width
    keep = {"first": torch.tensor([c for c in range(width) if c not in GONE])}
    x = policy.entry().example_inputs
    with torch.no_grad():
        right = masked(policy, graph, keep).entry().run(masked(policy, graph, keep).module, x)["act"]
        pruned = cut(policy, graph, keep)
        torch.testing.assert_close(pruned.entry().run(pruned.module, x)["act"], right)
    assert (_cut_by_torch_pruning(policy) - right).abs().max() > 1e-3


def test_torch_pruning_fails_where_a_split_cuts_through_a_source():
    with pytest.raises(RuntimeError, match="split_with_sizes"):
        _cut_by_torch_pruning(_policy("split-elsewhere"))
