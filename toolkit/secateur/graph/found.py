"""What a trace finds, as data."""

from dataclasses import dataclass, field

from secateur.graph.axes import Axis
from secateur.graph.views import Axes


@dataclass(frozen=True)
class Contraction:
    """One use of a weight: a linear, a convolution, a gate.

    Attributes:
        entry: that uses it.
        weight: path of the parameter.
        macs: per call of the entry.
        elements: of the weight, or of the part of it that is used here.
    """

    entry: str
    weight: str
    macs: int
    elements: int


@dataclass(frozen=True)
class Product:
    """A product of activations, as attention's scores are.

    Attributes:
        entry: that asks for it.
        component: that made its first operand.
        macs: per call of the entry.
    """

    entry: str
    component: str
    macs: int


@dataclass(frozen=True)
class Site:
    """Where activations of a module can be seen: its output, or one of them, and its axes."""

    entry: str
    module: str
    axes: Axes


@dataclass
class Trace:
    """What the trace found.

    Attributes:
        weights: path of each parameter and buffer → its axes.
        inputs, outputs: (entry, name) → axes.
        contractions, products: in order of execution.
        sites: outputs of leaf modules, in order of execution.
        sized: a function of torch that the policy's own code calls and that takes or gives a size; empty where
            there is none, so that no width can be written into that code.
        crossings: (producer, consumer, axes) wherever a component uses what another made.
        inlets: (input, component, axes) wherever a component uses what comes from outside.
        outlets: (component, output, axes) wherever something goes to the outside.
        results: name and axes of the results of every operator, in order of execution.
        counts: (module, attribute) → the axis that the attribute counts: groups of a convolution, heads, channels of
            a norm without weights.
    """

    weights: dict[str, Axes] = field(default_factory=dict)
    inputs: dict[tuple[str, str], Axes] = field(default_factory=dict)
    outputs: dict[tuple[str, str], Axes] = field(default_factory=dict)
    contractions: list[Contraction] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    crossings: list[tuple[str, str, Axes]] = field(default_factory=list)
    inlets: list[tuple[str, str, Axes]] = field(default_factory=list)
    outlets: list[tuple[str, str, Axes]] = field(default_factory=list)
    results: list[tuple[str, tuple[Axes, ...]]] = field(default_factory=list)
    counts: dict[tuple[str, str], Axis] = field(default_factory=dict)
    sized: str = ""


Makers = frozenset[tuple[str, Axes]]
"""Component (or ``<entry.input``) → the axes of what it made; a concatenation has several makers."""
