"""Control by planning: which entries of a policy make up a latent model, and how much is planned with it.

What a decision asks of the entries follows from the settings alone (``Planning.calls``): ``simulate.planner`` makes
these calls, an exported planner has a signature for each, and their price is the planner's.
"""

from dataclasses import dataclass, field

PLAN = "plan"
"""What ``Policy.deployed`` is called where the planner moves the robot."""


@dataclass(frozen=True)
class PlannerSettings:
    """How much planning there is in one decision.

    Attributes:
        horizon: control steps looked ahead.
        samples: action sequences drawn from the Gaussian in one iteration.
        policy_samples: sequences that follow the policy, with noise, in the latent model.
        elites: sequences the Gaussian is fitted to.
        iterations: refits.
        temperature: how sharply better elites weigh more.
        momentum: share of the mean that an iteration keeps.
        start_std: standard deviation at the start of each decision.
        floor_std: smallest standard deviation.
        discount: of rewards, per control step.
    """

    horizon: int = 5
    samples: int = 48
    policy_samples: int = 6
    elites: int = 12
    iterations: int = 2
    temperature: float = 0.5
    momentum: float = 0.1
    start_std: float = 1.0
    floor_std: float = 0.05
    discount: float = 0.98


@dataclass(frozen=True)
class EntryCalls:
    """Calls of one entry with so many rows, and how many of them one decision makes."""

    entry: str
    rows: int
    times: int


@dataclass(frozen=True)
class Planning:
    """The entries that a planner in latent space calls, and its settings.

    Attributes:
        encode: observation → latent; its inputs are what ``Task.to_inputs`` gives.
        next: latent and action → the latent one control period later.
        reward: latent and action → the reward of that step.
        value: latent and action → one or more estimates of the return from there on; the least counts.
        choose: latent → the policy's own action.
        latent, action: what ``next``, ``reward``, ``value`` and ``choose`` call these inputs.
        settings: of the planner.
    """

    encode: str = "encode"
    next: str = "next"
    reward: str = "reward"
    value: str = "value"
    choose: str = "choose"
    latent: str = "latent"
    action: str = "action"
    settings: PlannerSettings = field(default_factory=PlannerSettings)

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of all entries that it calls."""
        return (self.encode, self.next, self.reward, self.value, self.choose)

    def calls(self, settings: PlannerSettings | None = None) -> tuple[EntryCalls, ...]:
        """What one decision for one robot calls, in the order of the first call.

        The observation is encoded once. Plans of the policy are followed through the model over the horizon. Then
        each iteration scores those and the drawn ones, all together: reward and next latent at every step, the
        policy's action and its value where they end.

        Args:
            settings: other than its own.
        """
        s = settings or self.settings
        few, every = s.policy_samples, s.samples + s.policy_samples
        return (
            EntryCalls(self.encode, 1, 1),
            EntryCalls(self.choose, few, s.horizon),
            EntryCalls(self.next, few, s.horizon),
            EntryCalls(self.reward, every, s.iterations * s.horizon),
            EntryCalls(self.next, every, s.iterations * s.horizon),
            EntryCalls(self.choose, every, s.iterations),
            EntryCalls(self.value, every, s.iterations),
        )
