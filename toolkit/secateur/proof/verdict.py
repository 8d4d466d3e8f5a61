"""From figures to a verdict: outcome, reasons, and what else should be known."""

from typing import TYPE_CHECKING, Any

from secateur.verify import sequential
from secateur.verify.profile import WORSE
from secateur.verify.swapped import INT8

if TYPE_CHECKING:
    from secateur.proof.story import Proof


def verdict_of(proof: "Proof", parts: dict[str, Any]) -> dict[str, Any]:
    """Outcome, reasons and what else should be known."""
    test, control_hz = parts["test"], proof.subject.task.control_hz
    reasons, warnings = [_reason(test)], []
    outcome = test["outcome"]
    late = proof.lateness
    if late.of_board and late.worst_s > 1 / control_hz:
        outcome = sequential.FAILED
        reasons.append(
            f"A call takes up to {late.worst_s:.3g} s ({late.mode}), longer than one control period of "
            f"{1 / control_hz:.3g} s."
        )
    if late.mode == "measured" and not late.of_board:
        warnings.append(
            f"The delay was timed on this machine: whether a call fits a control period on {proof.subject.target} was "
            "not judged."
        )
    plan = test["plan"]
    if test["outcome"] == sequential.UNDECIDED and plan["pairs"] is None:
        warnings.append(
            f"With at most {plan['most']} pairs an artifact without loss passes in "
            f"{plan['power_to_pass']:.0%} of cases, as worked out before it ran."
        )
    if not test["lowest_is_known"]:
        warnings.append(
            f"Some rewards are negative, so how bad an episode can be was guessed: {test['lowest_return']:.4g}."
        )
    if not test["highest_is_known"]:
        warnings.append(
            f"The task declares no return_range: the highest return seen, {test['highest_return']:.4g}, was taken for "
            "the most that is possible. This bound is empirical, and so is the confidence."
        )
    for each in (parts["attribution"] or {"rows": ()})["rows"]:
        if each["form"] == INT8 and each["ci95"][1] < 1 - test["max_return_drop"]:
            warnings.append(f"int8 in {each['component']} alone keeps {each['ratio']:.1%} of the return.")
    for each in (parts["stress"] or {"rows": ()})["rows"]:
        if each["judged"] == WORSE:
            warnings.append(
                f"Under {each['title']} the artifact keeps {each['ratio']:.1%} of what the original gets there "
                f"(95 % interval {each['ci95'][0]:.1%} to {each['ci95'][1]:.1%})."
            )
    return {
        "outcome": outcome,
        "passed": outcome == sequential.PASSED,
        "reasons": reasons,
        "warnings": warnings,
    }


def _reason(test: dict[str, Any]) -> str:
    wanted = f"{100 * (1 - test['max_return_drop']):g} %"
    after = f"after {test['pairs']} pairs of episodes"
    if test["outcome"] == sequential.PASSED:
        return (
            f"It keeps at least {100 * test['retained_at_least']:.1f} % of the original's return, with 95 % confidence "
            f"at all times, {after}; {wanted} are asked for."
        )
    if test["outcome"] == sequential.FAILED:
        return (
            f"It keeps at most {100 * test['retained_at_most']:.1f} % of the original's return, with 95 % confidence "
            f"at all times, {after}; {wanted} are asked for."
        )
    least = test["plan"]["least"]
    few = f" Fewer than {least} never are." if test["pairs"] < least else ""
    return (
        f"Not enough evidence {after}: it keeps {100 * test['retained']['ratio']:.1f} % of the original's return, and "
        f"neither {wanted} nor less could be shown.{few}"
    )
