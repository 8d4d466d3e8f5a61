"""Which component costs the return: one at a time replaced in the original, pruned or in int8, on the same seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file

from secateur.errors import SecateurError
from secateur.graph.groups import ComponentGraph
from secateur.openers import InInt8, Reweighted, fixed_file
from secateur.policy.policy import Policy
from secateur.policy.weights import load_weights
from secateur.prune.analyse import analyse
from secateur.prune.states import lengths_of, met_inputs, visited_inputs
from secateur.prune.surgery import rebuild
from secateur.runfolder import read_document, widths_of
from secateur.simulate.dry_run import acted_on
from secateur.simulate.parallel import CALM, Opener, episodes
from secateur.verify.scores import retained, returns_of, score
from secateur.verify.statistics import require_judgeable
from secateur.verify.swapped import (
    INT8,
    MASKED,
    RECOVERED,
    acting_components,
    embeds_exactly,
    with_pruned,
)

if TYPE_CHECKING:
    from secateur.proof.story import Proof

PAIRS = 32
ALL = "all"
"""In place of a component's name: every one of them at once."""

MEANING = {
    MASKED: "the original with this component cut to the channels that were kept, before recovery, all others whole",
    RECOVERED: "the original with this component as it was recovered; its neighbours have not adapted to it",
    INT8: "the original with this component computing in int8",
}


def attribute(proof: "Proof", work: Path) -> dict[str, Any]:
    """Rows of component × form, each with what is kept of the original's return.

    Args:
        proof: of what.
        work: a folder that stays as long as this takes.
    """
    subject = proof.subject
    policy, task = subject.policy, subject.task
    seeds = proof.seeds("attribution", PAIRS)
    before = returns_of(episodes(subject.original, seeds, CALM, proof.workers, score))
    try:
        require_judgeable(before, proof.generator("attribution"))
    except SecateurError as error:
        return _found((), (), dict.fromkeys(MEANING, error.seen))
    graph = analyse(policy, acted_on(policy, task))
    names = acting_components(policy, graph)
    swaps: dict[tuple[str, str], Opener] = {}
    left_out: dict[str, str] = {}
    pruned = _pruned(proof, graph)
    if isinstance(pruned, str):
        left_out |= {MASKED: pruned, RECOVERED: pruned}
    else:
        small, keep = pruned
        weights = dict(small.module.state_dict())
        whole = with_pruned(policy, graph, keep, names, weights)
        visited, lengths = visited_inputs(task, proof.calm), lengths_of(proof.calm)
        if embeds_exactly(
            small, with_pruned(policy, graph, keep, graph.components, weights), visited, lengths
        ):
            for component in (*names, ALL):
                of = names if component == ALL else (component,)
                masked = with_pruned(policy, graph, keep, of)
                recovered = whole if component == ALL else with_pruned(policy, graph, keep, of, weights)
                for form, each in ((MASKED, masked), (RECOVERED, recovered)):
                    swaps[component, form] = _stored(proof, each, work / f"{len(swaps)}.safetensors")
        else:
            reason = "a channel at zero is not a channel less in this network: it norms over channels"
            left_out |= {MASKED: reason, RECOVERED: reason}
    path = work / "visited.npz"
    met = met_inputs(task, proof.calm, policy)
    np.savez(path, **{name: rows.numpy() for name, rows in met.items()})  # type: ignore[arg-type]
    states = fixed_file(path)
    for component in (*names, ALL):
        of = names if component == ALL else (component,)
        swaps[component, INT8] = InInt8(subject.original, of, states)
    return _found(names, _rows(proof, swaps, seeds, before), left_out)


def _found(
    names: Sequence[str], rows: Sequence[dict[str, Any]], left_out: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "pairs": PAIRS,
        "components": list(names),
        "rows": list(rows),
        "meaning": MEANING,
        "left_out": dict(left_out),
    }


def _rows(
    proof: "Proof", swaps: Mapping[tuple[str, str], Opener], seeds: Sequence[int], before: np.ndarray
) -> list[dict[str, Any]]:
    rows = []
    for number, ((component, form), opener) in enumerate(swaps.items()):
        proof.progress.share(number / len(swaps), f"{component}, {form}")
        after = returns_of(episodes(opener, seeds, CALM, proof.workers, score))
        generator = proof.generator("attribution")  # the same resamples for all
        rows.append(
            {
                "component": component,
                "form": form,
                "return_mean": float(after.mean()),
                **retained(before, after, generator),
            }
        )
    return rows


def _pruned(proof: "Proof", graph: ComponentGraph) -> tuple[Policy, dict[str, torch.Tensor]] | str:
    """The run's policy and the channels that it kept; or why there is none."""
    run, policy = proof.subject.run, proof.subject.policy
    if run is None:
        return "the policy was not pruned"
    if not (run / "kept.json").is_file():
        return "the run does not say which channels it kept; prune it again"
    try:
        kept = read_document(run / "kept.json")
        keep = {name: torch.tensor(index, dtype=torch.int64) for name, index in kept.items()}
        small = rebuild(policy, graph, widths_of(run))
        load_weights(small.module, run / "policy.safetensors")
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise SecateurError(
            "a run's widths and channels are those of its policy", f"{run}: {error}", "Prune it again."
        ) from error
    return small, keep


def _stored(proof: "Proof", policy: Policy, path: Path) -> Reweighted:
    save_file({name: t.contiguous().clone() for name, t in policy.module.state_dict().items()}, path)
    return Reweighted(proof.subject.original, fixed_file(path))
