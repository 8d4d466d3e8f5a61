"""Templates drawn operator by operator, without a policy or a converter: what shapes may do to a program, in small."""

import numpy as np
from hypothesis import strategies as st

from secateur.graph import axes
from secateur.graph.axes import Axis, Dim
from secateur.graph.found import Trace
from secateur.graph.groups import ComponentGraph, Group
from secateur.graph.sizes import size_of
from secateur.graph.template import Template
from secateur.network import Network, Operator, Quantization, Tensor

COMPONENTS = ("perception", "control", "beside")
"""The last one has no operators."""

STEPS = {"strideH": 1, "strideW": 1}


class Sketch:
    """A network under construction. Shapes are tuples of axes; a tensor is known by its index."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.shapes: list[tuple[Axis, ...]] = []
        self.operators: list[Operator] = []
        self.groups: dict[Dim, str] = {}
        self.weights: dict[str, tuple[Axis, ...]] = {}
        self.inputs: dict[str, int] = {}
        self.outputs: list[int] = []

    def axis(self, n: int) -> Axis:
        """An axis that stays as it is."""
        return axes.fixed(n, "")

    def group(self, width: int) -> Axis:
        """The axis of a new group."""
        dim = Dim(width)
        self.groups[dim] = f"group{len(self.groups)}"
        return ((dim,),)

    def tensor(self, shape, dtype="int8", scale=0.05, zero_point=0, constant=False, data=None) -> int:
        full = tuple(axes.size(axis) for axis in shape)
        quantization = Quantization((scale,), (zero_point,)) if dtype == "int8" else None
        name = f"t{len(self.tensors)}"
        self.tensors.append(Tensor(name, full, dtype, quantization, constant or data is not None, data))
        self.shapes.append(tuple(shape))
        return len(self.tensors) - 1

    def input(self, *shape: Axis) -> int:
        self.inputs[f"in{len(self.inputs)}"] = made = self.tensor(shape)
        return made

    def integers(self, values) -> int:
        data = np.array(values, np.int32)
        return self.tensor([self.axis(n) for n in data.shape], "int32", data=data)

    def weight(self, *shape: Axis, bias: Axis | None = None) -> tuple[int, ...]:
        path = f"w{len(self.weights)}"
        self.weights[path] = shape
        made = (self.tensor(shape, constant=True),)
        if bias is not None:
            self.weights[path + ".bias"] = (bias,)
            made += (self.tensor((bias,), "int32", constant=True),)
        return made

    def operator(self, kind: str, inputs, shape, scale=0.05, zero_point=0, **options) -> int:
        """One operator of one output, which is given back."""
        made = self.tensor(shape, scale=scale, zero_point=zero_point)
        self.operators.append(Operator(kind, tuple(inputs), (made,), options))
        return made

    def volume(self, tensor: int) -> Axis:
        """The axis of a flattened tensor; at most one of its axes is a concatenation, and then all else is one."""
        shape = self.shapes[tensor]
        long = [axis for axis in shape if len(axis) > 1]
        return long[0] if long else (tuple(dim for axis in shape for dim in axis[0]),)

    def template(self) -> Template:
        read = {tensor for operator in self.operators for tensor in operator.inputs}
        made = [tensor for operator in self.operators for tensor in operator.outputs]
        outputs = [tensor for tensor in made if tensor not in read or tensor in self.outputs]
        owner = {path: COMPONENTS[index % 3] for index, path in enumerate(self.weights)}
        graph = ComponentGraph(
            components=COMPONENTS,
            groups=tuple(Group(name, dim.size, (), (), ()) for dim, name in self.groups.items()),
            whole=(),
            contractions=(),
            trace=Trace(weights=self.weights),
            dims=self.groups,
            component_of=owner,
            parameters=tuple(owner),
        )
        sizes = {
            (tensor, place): size_of(graph, (axis,))
            for tensor, shape in enumerate(self.shapes)
            for place, axis in enumerate(shape)
            if graph.groups_on(axis)
        }
        network = Network(
            tuple(self.tensors),
            tuple(self.operators),
            self.inputs,
            {f"out{tensor}": tensor for tensor in outputs},
        )
        half = len(self.operators) // 2
        owners = tuple(COMPONENTS[index >= half] for index in range(len(self.operators)))
        return Template(graph, network, sizes, owners)


def linear(sketch: Sketch, x: int, rows: Axis, bias: bool, zero_point: int, activation: int) -> int:
    weights = sketch.weight(rows, sketch.volume(x), bias=rows if bias else None)
    return sketch.operator(
        "FULLY_CONNECTED",
        (x, *weights),
        (sketch.axis(1), rows),
        zero_point=zero_point,
        fusedActivationFunction=activation,
    )


def convolution(sketch: Sketch, x: int, rows: Axis, padded: bool) -> int:
    batch, height, width, channels = sketch.shapes[x]
    if padded:
        grown = [sketch.axis(axes.size(side) + 2) for side in (height, width)]
        amounts = sketch.integers([[0, 0], [1, 1], [1, 1], [0, 0]])
        x = sketch.operator("PAD", (x, amounts), (batch, *grown, channels))
    weights = sketch.weight(rows, sketch.axis(3), sketch.axis(3), channels, bias=rows)
    return sketch.operator(
        "CONV_2D", (x, *weights), (batch, height, width, rows), padding=int(padded), **STEPS
    )


def depthwise(sketch: Sketch, x: int) -> int:
    """A kernel of its own from four channels on; below it is a convolution."""
    shape = sketch.shapes[x]
    weights = sketch.weight(sketch.axis(1), sketch.axis(3), sketch.axis(3), shape[3], bias=shape[3])
    return sketch.operator("DEPTHWISE_CONV_2D", (x, *weights), shape, padding=0, **STEPS)


def transposed(sketch: Sketch, x: int) -> int:
    """Another name for the same bytes where there is one channel, a move otherwise."""
    batch, height, width, channels = sketch.shapes[x]
    return sketch.operator("TRANSPOSE", (x, sketch.integers([0, 3, 1, 2])), (batch, channels, height, width))


def plus_scalar(sketch: Sketch, x: int, scalar: int) -> int:
    """Either source may be worked on in place where there is one channel."""
    return sketch.operator("ADD", (scalar, x), sketch.shapes[x])


def with_itself(sketch: Sketch, x: int) -> int:
    """Two names of one buffer into one operator."""
    shape = (sketch.axis(1), *sketch.shapes[x])
    return sketch.operator("MUL", (x, sketch.operator("RESHAPE", (x,), shape)), shape)


def joined(sketch: Sketch, one: int, other: int) -> int:
    along = (*sketch.shapes[one][1], *sketch.shapes[other][1])
    return sketch.operator("CONCATENATION", (one, other), (sketch.axis(1), along), axis=1)


def parted(sketch: Sketch, x: int) -> tuple[int, ...]:
    parts = tuple(sketch.tensor((sketch.axis(1), (segment,))) for segment in sketch.shapes[x][1])
    rest = (sketch.integers([0] * len(parts)), sketch.integers(1))
    sketch.operators.append(Operator("SPLIT_V", (x, *rest), parts))
    return parts


@st.composite
def sketches(draw) -> Template:
    """Images and vectors through whatever fits them; any tensor may be read again, or be an output."""
    sketch = Sketch()
    width = st.integers(1, 9)
    images = [sketch.input(*map(sketch.axis, (1, 3, 2, 3)))]
    vectors = [
        sketch.input(sketch.axis(1), sketch.group(draw(width)) if draw(st.booleans()) else sketch.axis(5))
    ]
    if draw(st.booleans()):
        images.append(convolution(sketch, images[0], sketch.group(draw(width)), draw(st.booleans())))
    scalar = linear(sketch, vectors[0], sketch.axis(1), True, 3, 0)
    for _ in range(draw(st.integers(1, 9))):
        image, vector, other = (draw(st.sampled_from(pool)) for pool in (images, vectors, vectors))
        kind = draw(st.sampled_from(KINDS))
        shape = sketch.shapes[vector]
        if kind == "conv":
            images.append(convolution(sketch, image, sketch.group(draw(width)), draw(st.booleans())))
        elif kind == "depthwise":
            images.append(depthwise(sketch, image))
        elif kind == "transpose":
            flat = transposed(sketch, image)
            vectors.append(linear(sketch, flat, sketch.group(draw(width)), False, -128, 1))
        elif kind == "pool":
            one = sketch.axis(1)
            pooled = (one, one, one, sketch.shapes[image][3])
            slid = {"filterHeight": 3, "filterWidth": 2, "strideH": 1, "strideW": 1, "padding": 1}
            x = sketch.operator("AVERAGE_POOL_2D", (image,), pooled, **slid)
            vectors.append(sketch.operator("RESHAPE", (x,), (one, sketch.shapes[image][3])))
        elif kind == "mean":
            means = (sketch.axis(1), sketch.shapes[image][3])
            vectors.append(sketch.operator("MEAN", (image, sketch.integers([1, 2])), means))
        elif kind == "linear":
            settings = draw(st.booleans()), draw(st.sampled_from([-128, 4])), draw(st.sampled_from([0, 1]))
            vectors.append(linear(sketch, vector, sketch.group(draw(width)), *settings))
        elif kind == "table":
            vectors.append(sketch.operator("TANH", (vector,), shape))
        elif kind == "tables":
            vectors.append(sketch.operator("NEG", (sketch.operator("TANH", (vector,), shape),), shape))
        elif kind == "tables of an image":
            images.append(sketch.operator("RELU", (image,), sketch.shapes[image]))
        elif kind == "softmax":
            vectors.append(
                sketch.operator("SOFTMAX", (vector,), shape, scale=1 / 256, zero_point=-128, beta=1.0)
            )
        elif kind == "scalar":
            vectors.append(plus_scalar(sketch, vector, scalar))
        elif kind == "again":
            vectors.append(sketch.operator("RESHAPE", (vector,), shape))
        elif kind == "residual":
            vectors.append(sketch.operator("ADD", (vector, sketch.operator("TANH", (vector,), shape)), shape))
        elif kind == "join":
            vectors.append(joined(sketch, vector, other))
        elif len(shape[1]) > 1:
            vectors += parted(sketch, vector)
        if draw(st.integers(0, 4)) == 0:
            sketch.outputs.append(draw(st.sampled_from([*images, *vectors])))
    return sketch.template()


KINDS = (
    *("conv", "depthwise", "transpose", "pool", "mean", "linear", "table", "tables", "tables of an image"),
    *("softmax", "scalar", "again", "residual", "join", "split"),
)


def widths_of(template: Template) -> st.SearchStrategy[dict[str, int]]:
    """Any widths of a template's groups, the least ones often; now and then a group is not named."""
    return st.fixed_dictionaries(
        {},
        optional={
            group.name: st.one_of(st.integers(1, min(4, group.width)), st.integers(1, group.width))
            for group in template.graph.groups
        },
    )
