"""Every loader of policies that other libraries trained: its name within ``secateur.adapters``, and the function."""

from collections.abc import Callable

from secateur.adapters import cleanrl, lerobot, rsl_rl, sb3, tdmpc2
from secateur.policy.policy import Policy

LOADERS: dict[str, Callable[..., Policy]] = {
    "cleanrl.load_ppo": cleanrl.load_ppo,
    "lerobot.load_act": lerobot.load_act,
    "lerobot.load_diffusion": lerobot.load_diffusion,
    "lerobot.load_tdmpc": lerobot.load_tdmpc,
    "rsl_rl.load_actor_critic": rsl_rl.load_actor_critic,
    "sb3.load_ppo": sb3.load_ppo,
    "sb3.load_sac": sb3.load_sac,
    "sb3.load_td3": sb3.load_td3,
    "tdmpc2.load_world_model": tdmpc2.load_world_model,
}
