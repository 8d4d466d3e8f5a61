"""What can be told of a user's own network by looking at it and by calling it: components, entries, what runs in which.

Names decide components: children of the module, those of one name but for a number (``critic1``, ``critic2``) or of
one first word (``actor_mean``, ``actor_log_std``) together. Entries are methods that the given inputs can call. Both
are guesses, which the user corrects.
"""

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from secateur.policy.policy import Component

FIRST = ("act", "get_action", "predict", "forward")
"""Methods that are taken to be what runs on the robot, the likeliest first."""


@dataclass(frozen=True)
class Guess:
    """A component as guessed; ``why`` tells by what, and ``doubt`` what speaks against it."""

    component: Component
    why: str
    doubt: str = ""


@dataclass(frozen=True)
class Called:
    """A method that ran.

    Attributes:
        method: its name.
        inputs: names of its inputs.
        keys: names of its outputs where it gives a dict; empty where it gives one tensor.
        members: of the tuple that it gives, which are tensors; empty where it gives no tuple.
        reached: components whose parameters its outputs depend on, or whose modules it called.
    """

    method: str
    inputs: tuple[str, ...]
    keys: tuple[str, ...] = ()
    members: tuple[int, ...] = ()
    reached: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotCalled:
    """A method that was not, or did not run, and why."""

    method: str
    why: str


def guess_components(module: nn.Module) -> tuple[Guess, ...]:
    """Components that hold every parameter once, in the module's order.

    A module whose only child holds everything (``self.model = …``) is looked into.
    """
    prefix, inside = "", module
    while True:
        own = [name for name, _ in inside.named_parameters(recurse=False)]
        children = [n for n, child in inside.named_children() if any(True for _ in child.parameters())]
        if own or len(children) != 1 or not list(inside.get_submodule(children[0]).named_children()):
            break
        child = inside.get_submodule(children[0])
        if isinstance(child, nn.Sequential) and not any(list(c.children()) for c in child):
            break
        prefix, inside = f"{prefix}{children[0]}.", child
    return tuple(_component(word, names, own, prefix) for word, names in _by_word([*children, *own]).items())


def _by_word(names: Iterable[str]) -> dict[str, list[str]]:
    """First word without numbers → names that share it; alone, a name keeps its own."""
    words: dict[str, list[str]] = {}
    for name in names:
        words.setdefault(re.sub(r"\d+$", "", name.lstrip("_").split("_")[0]) or name, []).append(name)
    return {(word if len(found) > 1 else found[0]): found for word, found in words.items()}


def _component(word: str, names: list[str], own: list[str], prefix: str) -> Guess:
    component = Component(word, tuple(prefix + name for name in names))
    loose = [name for name in names if name in own]
    doubt = (
        f"{', '.join(loose)} may belong elsewhere: it is a parameter of the module itself" if loose else ""
    )
    if len(names) > 1:
        doubt = doubt or "split it where they do different things"
        return Guess(component, f"its parts' names begin with {word!r}", doubt)
    return Guess(component, "a parameter of the module itself" if loose else "a child of the module", doubt)


def methods_of(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """Public methods that the module's class defines → names of parameters they must be given; likeliest first."""
    found = {}
    for name in dir(type(module)):
        method = inspect.getattr_static(type(module), name)
        if (
            name.startswith("_")
            or not inspect.isfunction(method)
            or hasattr(nn.Module, name) * (name != "forward")
        ):
            continue
        needed = [
            p.name
            for p in list(inspect.signature(method).parameters.values())[1:]
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if needed:
            found[name] = tuple(needed)
    return dict(
        sorted(found.items(), key=lambda pair: FIRST.index(pair[0]) if pair[0] in FIRST else len(FIRST))
    )


def guess_inputs(module: nn.Module, needed: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Zeros of the width that the first layer takes, where the one input of a method goes into a linear layer."""
    first = next((inner for inner in module.modules() if inner._parameters and not inner._modules), None)
    if len(needed) == 1 and isinstance(first, nn.Linear):
        return {needed[0]: torch.zeros(1, first.in_features)}
    return {}


def try_methods(
    module: nn.Module, components: Iterable[Component], inputs: Mapping[str, torch.Tensor]
) -> list[Called | NotCalled]:
    """Calls every method that the inputs suffice for, in evaluation mode."""
    return [_try(module, components, method, needed, inputs) for method, needed in methods_of(module).items()]


def _try(
    module: nn.Module,
    components: Iterable[Component],
    method: str,
    needed: tuple[str, ...],
    inputs: Mapping[str, torch.Tensor],
) -> Called | NotCalled:
    if missing := [name for name in needed if name not in inputs]:
        return NotCalled(method, f"no example of {', '.join(missing)}")
    used: set[str] = set()
    hooks = [
        inner.register_forward_pre_hook(lambda *_, path=path: used.add(path))
        for path, inner in module.named_modules()
    ]
    try:
        given = {name: inputs[name].clone() for name in needed}
        made = getattr(module.eval(), method)(**given)
    except Exception as error:  # whatever the user's code raises
        return NotCalled(method, f"{type(error).__name__}: {' '.join(str(error).split())[:160]}")
    finally:
        for hook in hooks:
            hook.remove()
    members: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    if isinstance(made, torch.Tensor):
        tensors = [made]
    elif isinstance(made, Mapping) and made and all(isinstance(t, torch.Tensor) for t in made.values()):
        tensors, keys = list(made.values()), tuple(map(str, made))
    elif isinstance(made, tuple | list) and any(isinstance(t, torch.Tensor) for t in made):
        members = tuple(n for n, t in enumerate(made) if isinstance(t, torch.Tensor))
        tensors = [made[n] for n in members]
    else:
        return NotCalled(method, f"it gives {type(made).__name__}, and an entry gives tensors")
    used |= _behind(module, tensors)
    reached = tuple(
        c.name for c in components if any(p == q or p.startswith(f"{q}.") for p in used for q in c.modules)
    )
    return Called(method, needed, keys, members, reached)


def _behind(module: nn.Module, tensors: list[torch.Tensor]) -> set[str]:
    """Parameters that tensors depend on, as gradients tell."""
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad and p.is_floating_point()]
    differentiable = [t.sum() for t in tensors if t.requires_grad and t.is_floating_point()]
    if not named or not differentiable:
        return set()
    gradients = torch.autograd.grad(
        torch.stack(differentiable).sum(), [p for _, p in named], allow_unused=True
    )
    return {name for (name, _), gradient in zip(named, gradients) if gradient is not None}
