"""Runs every entry once and writes down which axes are the same axis, and which component made what.

The trace sits below autograd, on ATen operators, so any Python a module runs is seen as it was run. Parameters
and buffers are tensors like any other: weights tied, shared, sliced or made outside a module need no special case.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from secateur.graph import attention, attributes, axes, code, rules, views
from secateur.graph.axes import Axis
from secateur.graph.found import Contraction, Makers, Product, Site, Trace
from secateur.graph.results import (
    BOOKKEEPING,
    Watch,
    comparable_name,
    evaluating,
    operator_name,
    tensors_in,
    tensors_of,
)
from secateur.graph.tie import tie
from secateur.graph.views import Axes
from secateur.policy.policy import Entry, Policy

COUNTING = (nn.modules.conv._ConvNd, nn.GroupNorm)
"""Library modules with an attribute that counts groups of channels; surgery keeps it up to date."""

WEIGHTLESS = (nn.LayerNorm, nn.RMSNorm)
"""Library modules that may have no weight that says how wide they are."""

CONTRACTIONS = frozenset({"mm", "bmm", "mv", "matmul", "addmm", "addmv", "baddbmm", "convolution"})


class _Known(NamedTuple):
    """A tensor (held, so that its id stays its own), its axes, its makers, and the parameter it is a view of."""

    tensor: torch.Tensor
    axes: Axes
    makers: Makers
    weight: str | None = None


def _pieces(known: _Known) -> Makers:
    """What each maker has in a tensor: a piece of a concatenation, or all of it."""
    if any(len(axes.normal(axis)) > 1 for axis in known.axes):
        return known.makers
    return frozenset((maker, known.axes) for maker, _ in known.makers)


def _makers(used: list[_Known], rule: rules.Rule | None) -> Makers:
    """Who made what an operator without weights gives."""
    if len(used) == 1 and rule is not views.concatenate:
        return used[0].makers
    pieces = map(_pieces, used) if rule is views.concatenate else (known.makers for known in used)
    return frozenset().union(*pieces)


_NOBODY: frozenset[str] = frozenset()


class _Tracer(Watch):
    """Called with a tensor, it gives its axes, so that it is what rules look with."""

    def __init__(self, trace: Trace, owners: dict[str, str], paths: dict[int, str]) -> None:
        super().__init__()
        self.trace, self.owners, self.paths = trace, owners, paths
        self.known: dict[int, _Known] = {}
        self.modules: list[nn.Module] = []
        self.entry = ""
        self.makers_of: dict[tuple[str, str], Makers] = {}
        self.met: set[str] = set()

    def learn(
        self, tensor: torch.Tensor, made: Axes, makers: Makers = frozenset(), weight: str | None = None
    ) -> None:
        self.known[id(tensor)] = _Known(tensor, made, makers, weight)

    def count(self, attribute: str, n: int, why: str) -> Axis:
        module = self.modules[-1] if self.modules else None
        if not isinstance(module, COUNTING) or getattr(module, attribute, None) != n:
            return axes.fixed(n, why)
        return self.trace.counts.setdefault((self.paths[id(module)], attribute), axes.free(n))

    def known_axes(self, tensor: torch.Tensor) -> Axes | None:
        known = self.known.get(id(tensor))
        return None if known is None else known.axes

    def __call__(self, tensor: torch.Tensor) -> Axes:
        if id(tensor) not in self.known:
            self.learn(tensor, tuple(axes.fixed(n, "it meets a constant of the code") for n in tensor.shape))
        return self.known[id(tensor)].axes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        results = tensors_in(out)
        if results:
            self._note(operator_name(func), func, args, kwargs, out, results)
        return out

    def _note(
        self, name: str, func: Any, args: Any, kwargs: Any, out: Any, results: list[torch.Tensor]
    ) -> None:
        given = rules.tensors(args) + rules.tensors(kwargs.values()) if kwargs else rules.tensors(args)
        weights: list[_Known] = []
        activations: list[_Known] = []
        for tensor in given:
            known = self.known.get(id(tensor))
            if known is None:
                continue
            if known.weight is None:
                activations.append(known)
            else:
                weights.append(known)
                self.met.add(known.weight)
        rule = rules.rule_of(name, func)
        view_of, own = None, _NOBODY
        if weights and len(weights) == len(given) and name not in CONTRACTIONS:
            view_of = weights[0].weight
        elif weights:
            own = frozenset(self.owners[w.weight] for w in weights if w.weight in self.owners)
        makers = frozenset() if own or rule in rules.FROM_NOTHING else _makers(activations, rule)
        made: Any
        if rule is not None:
            made = rule(self, args, kwargs, out)
        else:
            rules.unknown(name, self, args, out)
            made = [tuple(axes.fixed(n, f"operator {name} has no rule") for n in t.shape) for t in results]
        if isinstance(made, tuple):
            made = [made]
        if own:
            self._cross(activations, own)
        if own and name in CONTRACTIONS:
            self._count(_macs(name, args, results[0]), weights)
        elif name in CONTRACTIONS or rule is rules.attention:
            self._count_product(_macs(name, args, results[0]), own, activations)
        if name not in BOOKKEEPING:
            self.trace.results.append((comparable_name(name), tuple(made)))
        for tensor, its_axes in zip(results, made):
            made_here = frozenset([(owner, its_axes) for owner in own]) if own else makers
            self.known[id(tensor)] = _Known(tensor, its_axes, made_here, view_of)

    def _cross(self, activations: list[_Known], consumers: frozenset[str]) -> None:
        for known in activations:
            if all(consumers == {maker} for maker, _ in known.makers):
                continue
            for maker, flowing in _pieces(known):
                self.trace.crossings.extend(
                    (maker, consumer, flowing) for consumer in consumers if consumer != maker
                )

    def _count(self, macs: int, weights: list[_Known]) -> None:
        matrix = next((w for w in weights if "bias" not in str(w.weight).rsplit(".", 1)[-1]), weights[0])
        used = Contraction(self.entry, str(matrix.weight), macs, matrix.tensor.numel())
        self.trace.contractions.append(used)

    def _count_product(self, macs: int, own: frozenset[str], activations: list[_Known]) -> None:
        makers = own or {m for known in activations[:1] for m, _ in known.makers if not m.startswith("<")}
        self.trace.products.extend(Product(self.entry, maker, macs) for maker in sorted(makers)[:1])


def _macs(name: str, args: Any, out: torch.Tensor) -> int:
    """Multiply-accumulates of a matrix product, a convolution, or the two products of attention."""
    if name == "convolution":
        return (args[0] if args[6] else out).numel() * args[1][0].numel()
    if "attention" in name:
        return (args[0].numel() + out.numel()) * args[1].shape[-2]
    return out.numel() * args[1 if name.startswith(("addm", "badd")) else 0].shape[-1]


def trace_policy(policy: Policy, owners: dict[str, str]) -> Trace:
    """Traces all entries of ``policy`` on their example inputs, in evaluation mode; the module is left unchanged.

    ``owners`` gives the component of each parameter.

    Inputs from outside and outputs to outside are fixed. Where an entry's input is fed by other entries' outputs,
    their axes become one, which ties (say) the latent of encoder, dynamics, reward, value and policy.
    """
    trace = Trace()
    module = policy.module
    modules = list(module.named_modules())
    tracer = _Tracer(trace, owners, {id(inner): path for path, inner in modules})
    for path, tensor in tensors_of(modules):
        trace.weights[path] = tuple(axes.free(n) for n in tensor.shape)
        tracer.learn(tensor, trace.weights[path], weight=path)
    _declare(modules, trace)
    own_code = code.OwnCode(tracer.modules)
    with (
        evaluating([inner for _, inner in modules]),
        attributes.remembered(modules) as any_numbers,
        _following_modules(tracer),
        attributes.BindAttributes(tracer.known_axes, trace.counts) if any_numbers else nullcontext(),
    ):
        for entry in policy.entries:
            _trace_entry(tracer, own_code, entry, module)
    for path in trace.weights.keys() - tracer.met:
        for axis in trace.weights[path]:
            axes.fix(axis, "no entry uses it")
    trace.sized = own_code.sized
    tie(policy, trace, tracer.makers_of)
    return trace


def _declare(modules: list[tuple[str, nn.Module]], trace: Trace) -> None:
    """What is known of library modules before they run: heads of attention, and weights that must stay whole."""
    for path, inner in modules:
        if not isinstance(inner, (nn.MultiheadAttention, nn.LSTM)):
            continue
        prefix = f"{path}." if path else ""
        own = {name: trace.weights[prefix + name] for name, _ in inner.named_parameters()}
        if isinstance(inner, nn.MultiheadAttention) and attention.can_be_narrowed(inner):
            trace.counts[path, "num_heads"] = attention.declare_heads(inner, own)
            continue
        why = attention.WHY_WHOLE if isinstance(inner, nn.MultiheadAttention) else ""
        if isinstance(inner, nn.LSTM) and inner.proj_size:
            why = (
                "its nn.LSTM projects its state, and would take a state as wide as the cell for no projection"
            )
        for its_axes in own.values() if why else ():
            for axis in its_axes:
                axes.fix(axis, why)


@contextmanager
def _following_modules(tracer: _Tracer) -> Iterator[None]:
    """Tells the tracer which module is at work, and notes what leaf modules give."""

    def enter(inner: nn.Module, inputs: Any) -> None:
        tracer.modules.append(inner)

    def leave(inner: nn.Module, inputs: Any, output: Any) -> None:
        tracer.modules.pop()
        path = tracer.paths.get(id(inner))
        if path is not None and isinstance(output, torch.Tensor) and not inner._modules:
            its_axes = tracer(output)
            tracer.trace.sites.append(Site(tracer.entry, path, its_axes))
            if isinstance(inner, WEIGHTLESS) and inner.weight is None:
                _count_normalised(tracer.trace.counts, path, its_axes[-len(inner.normalized_shape) :])

    hooks = (register_module_forward_pre_hook(enter), register_module_forward_hook(leave))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _count_normalised(counts: dict[tuple[str, str], Axis], path: str, over: Axes) -> None:
    """A norm without weights has its width in an attribute alone; of more axes than one, they stay whole."""
    for axis in over if len(over) > 1 else ():
        axes.fix(axis, "a norm over several axes has their sizes written in it")
    if len(over) == 1:
        axes.unify(counts.setdefault((path, "normalized_shape"), over[0]), over[0])


def _trace_entry(tracer: _Tracer, own_code: code.OwnCode, entry: Entry, module: nn.Module) -> None:
    tracer.entry = entry.name
    inputs = {}
    for name, example in entry.example_inputs.items():
        inputs[name] = example.detach().clone()
        if name in entry.feeds:
            its_axes = tuple(axes.free(n) for n in example.shape)
        else:
            its_axes = tuple(axes.fixed(n, f"{entry.name} takes it from outside") for n in example.shape)
        tracer.learn(inputs[name], its_axes, frozenset({(f"<{entry.name}.{name}", its_axes)}))
        tracer.trace.inputs[entry.name, name] = its_axes
    with tracer, own_code:
        outputs = entry.run(module, inputs)
    for name, tensor in outputs.items():
        tracer.trace.outputs[entry.name, name] = tracer(tensor)
        tracer.makers_of[entry.name, name] = _pieces(tracer.known[id(tensor)])
