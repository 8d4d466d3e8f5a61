"""The text of a ``policy.py`` that ``secateur init`` writes."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from secateur.adapters.guess import Called, Guess, NotCalled

TAKEN = frozenset(
    {
        "Policy",
        "Component",
        "Entry",
        "Task",
        "Path",
        "policy",
        "task",
        "torch",
        "sys",
        "load_weights",
        "module",
    }
)
"""Names that ``policy.py`` has for something else."""


@dataclass(frozen=True)
class Found:
    """What is known of a user's network.

    Attributes:
        file: name of its module, without ``.py``.
        name: of its class, or of the function that makes it.
        is_class: whether it is a class.
        by_plain_names: whether the module imports files beside it by their plain names.
        guesses: components.
        tried: methods, the likeliest to be deployed first.
        examples: inputs by name.
        supposed: whether inputs were guessed, and not given.
    """

    file: str
    name: str
    is_class: bool
    by_plain_names: bool
    guesses: tuple[Guess, ...]
    tried: tuple[Called | NotCalled, ...]
    examples: Mapping[str, torch.Tensor]
    supposed: bool

    @property
    def network(self) -> str:
        """What the class or function is called in ``policy.py``."""
        return "Network" if self.name in TAKEN else self.name

    @property
    def called(self) -> list[Called]:
        """Methods that ran."""
        return [one for one in self.tried if isinstance(one, Called)]

    @property
    def left(self) -> list[NotCalled]:
        """Methods that did not."""
        return [one for one in self.tried if not isinstance(one, Called)]


def text_of(found: Found) -> str:
    """The whole file."""
    sections = [
        _head(found),
        *map(_named_outputs, (one for one in found.called if one.members)),
        _policy(found),
        TASK,
    ]
    return "\n\n\n".join(sections)


def remarks(found: Found) -> list[str]:
    """The same, for the terminal: components, entries, and what is left to do."""
    lines = [
        f"component {g.component.name}: {g.why}" + (f" (TODO {g.doubt})" if g.doubt else "")
        for g in found.guesses
    ]
    for one in found.called:
        lines.append(
            f"entry {_entry_name(found, one)}: {one.method}() reaches {', '.join(one.reached) or 'nothing'}"
        )
    lines += [f"TODO {line}" for line in _gaps(found)]
    return lines


def _gaps(found: Found) -> list[str]:
    gaps = [f"{one.method}() is no entry yet: {one.why}" for one in found.left]
    reached = {name for one in found.called for name in one.reached}
    gaps += [f"no entry reaches {g.component.name}" for g in found.guesses if g.component.name not in reached]
    if found.supposed:
        gaps.append("inputs were guessed from the first layer: give --input, or correct them")
    return [*gaps, "weights.safetensors, and task()"]


def _head(found: Found) -> str:
    beside = "sys.path.insert(0, str(HERE))  # the module imports files beside it by their plain names\n"
    return f'''"""The network of {found.file}.py as secateur sees it. Please check what is marked TODO."""

{"import sys" + chr(10) if found.by_plain_names else ""}from pathlib import Path

import torch

from secateur.policy.policy import Component, Entry, Policy
from secateur.policy.weights import load_weights

HERE = Path(__file__).parent
{beside if found.by_plain_names else ""}
from .{found.file} import {_imported(found)}  # noqa: E402

WEIGHTS = HERE / "weights.safetensors"'''


def _imported(found: Found) -> str:
    return found.name if found.network == found.name else f"{found.name} as {found.network}"


def _named_outputs(one: Called) -> str:
    inputs = ", ".join(one.inputs)
    outputs = ", ".join(f'"output{number}": made[{number}]' for number in one.members)
    return f'''def {one.method}_named(module, {inputs}):
    """What {one.method}() gives as a tuple, by name."""
    made = module.{one.method}({inputs})
    return {{{outputs}}}  # TODO say what they are; leave out what the robot does not need'''


def _policy(found: Found) -> str:
    components = "".join(map(_component, found.guesses))
    entries = "".join(_entry(found, one) for one in found.called)
    entries += "".join(_comment(f"TODO {line}.") for line in _gaps(found)[:-1])
    return f'''def policy():
    """The network with its weights, its components, and the ways in which it is called."""
    module = {found.network}().eval()
    # TODO: save_file(module.state_dict(), "weights.safetensors"), of safetensors.torch, where you trained it. Until
    # then its weights are those that it starts with, good for looking at its structure and for nothing else.
    if WEIGHTS.is_file():
        load_weights(module, WEIGHTS)
    return Policy(
        name="{found.file}",
        module=module,
        # Which modules belong together: each has a budget of its own, and every parameter is in one of them.
        components=(
{components}        ),
        # How it is called; the first is deployed. Where an entry's output is another's input, say so with feeds=.
        entries=(
{entries}        ),
    )'''


def _component(guess: Guess) -> str:
    said = f"{guess.why[0].upper()}{guess.why[1:]}." + (f" TODO {guess.doubt}." if guess.doubt else "")
    modules = ", ".join(f'"{module}"' for module in guess.component.modules)
    comma = "," if len(guess.component.modules) == 1 else ""
    return f'''{_comment(said)}            Component("{guess.component.name}", ({modules}{comma})),
'''


def _comment(text: str) -> str:
    indent = " " * 12 + "# "
    return textwrap.fill(text, 108, initial_indent=indent, subsequent_indent=indent) + "\n"


def _entry_name(found: Found, one: Called) -> str:
    return "act" if one.method == "forward" and "act" not in {o.method for o in found.called} else one.method


def _entry(found: Found, one: Called) -> str:
    call = f"{found.network if found.is_class else 'type(module)'}.{one.method}"
    inputs = ", ".join(f'"{name}": {_zeros(found.examples[name])}' for name in one.inputs)
    guessed = " TODO its input was guessed from the first layer." if found.supposed else ""
    reached = _comment(f"Reaches {', '.join(one.reached) or 'no component'}.{guessed}")
    called = f"{one.method}_named" if one.members else call
    return f'''{reached}            Entry("{_entry_name(found, one)}", {called}, {{{inputs}}}),
'''


def _zeros(example: torch.Tensor) -> str:
    shape = ", ".join(map(str, example.shape))
    plain = example.dtype == torch.float32
    return f"torch.zeros({shape})" if plain else f"torch.zeros({shape}, dtype={example.dtype})"


TASK = """# TODO the task. Without it the policy can be inspected and exported, but neither pruned nor verified:
#
# def task():
#     return Task(  # from secateur.policy.policy
#         make_env=lambda: gymnasium.make("..."),
#         to_inputs=lambda observation: {"...": observation.astype("float32")[None]},
#         to_action=lambda outputs: outputs["..."][0],
#         control_hz=50,
#     )
"""
