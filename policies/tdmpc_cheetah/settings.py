"""How much the runner plans: six actions want more samples than the cart-pole's one."""

from secateur.policy.planning import PlannerSettings

PLANNER = PlannerSettings(samples=64, policy_samples=16)
