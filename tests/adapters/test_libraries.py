"""What an adapter loads computes what the library does, and goes through inspection, surgery and export."""

import importlib
import warnings
from contextlib import suppress

import gymnasium
import numpy as np
import pytest
import torch
from checkpoints import CAMERA, VECTOR, layers, sb3_state, sb3_zip, spaces_of, tdmpc2_state
from gymnasium import spaces
from safetensors.torch import save_file
from torch import nn

from secateur.adapters import cleanrl, rsl_rl, sb3, tdmpc2
from secateur.adapters.actor_critic import make_task
from secateur.adapters.layers import Statistics
from secateur.errors import SecateurError
from secateur.export.litert import run_signature
from secateur.export.tflite import to_signatures
from secateur.graph.groups import build_graph
from secateur.prune.surgery import cut


def acted(policy, task, observation):
    """The action that a policy takes, through the task's maps."""
    inputs = {name: torch.from_numpy(array) for name, array in task.to_inputs(observation).items()}
    with torch.no_grad():
        outputs = policy.entry().run(policy.module, inputs)
    return task.to_action({name: tensor.numpy() for name, tensor in outputs.items()})


def goes_through(policy, entries):
    """Cut to two thirds, exported as float32: torch and LiteRT agree on random inputs for every entry."""
    graph = build_graph(policy)
    pruned = cut(policy, graph, {g.name: torch.arange(max(1, g.width * 2 // 3)) for g in graph.groups})
    assert sum(p.numel() for p in pruned.module.parameters()) < sum(
        p.numel() for p in policy.module.parameters()
    )
    model = to_signatures(pruned, entries)
    generator = torch.Generator().manual_seed(0)
    for name in entries:
        entry = pruned.entry(name)
        inputs = {
            key: torch.rand(example.shape, generator=generator)
            for key, example in entry.example_inputs.items()
        }
        with torch.no_grad():
            wanted = entry.run(pruned.module, inputs)
        given = {k: (x.movedim(1, -1) if x.dim() == 4 else x).numpy() for k, x in inputs.items()}
        found = run_signature(model, given, name)
        for key, tensor in wanted.items():
            np.testing.assert_allclose(found[key], tensor.numpy(), atol=2e-5, rtol=2e-5)
    return graph


@pytest.fixture(scope="module")
def library():
    """stable-baselines3 and what it saves; skips where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("stable_baselines3")


class Constant(gymnasium.Env):
    """Spaces, and observations drawn from them."""

    def __init__(self, observation, action):
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


ACTIONS = spaces.Box(np.array([-2.0, -0.5], np.float32), np.array([1.0, 0.5], np.float32))
IMAGE = spaces.Box(0, 255, (36, 40, 3), np.uint8)


CHAIN = {"actor", "head", "critic"}


@pytest.mark.parametrize(
    ("algorithm", "kind", "observation", "action", "made", "components"),
    [
        ("PPO", "Mlp", VECTOR.observation_space, ACTIONS, {"net_arch": [9, 7]}, CHAIN),
        ("PPO", "Mlp", VECTOR.observation_space, spaces.Discrete(3), {"activation_fn": nn.ELU}, CHAIN),
        ("PPO", "Cnn", IMAGE, VECTOR.action_space, {}, {*CHAIN, "observation"} - {"actor"}),
        ("PPO", "MultiInput", CAMERA, ACTIONS, {"share_features_extractor": False}, {*CHAIN, "camera"}),
        ("SAC", "Mlp", VECTOR.observation_space, ACTIONS, {"net_arch": [9]}, CHAIN),
        ("SAC", "MultiInput", CAMERA, ACTIONS, {"net_arch": [9]}, {*CHAIN, "camera"}),
        ("TD3", "Mlp", VECTOR.observation_space, VECTOR.action_space, {"net_arch": [9, 8]}, CHAIN),
    ],
)
def test_actions_are_those_of_stable_baselines3(
    library, tmp_path, algorithm, kind, observation, action, made, components
):
    """Of models as they are made, whose weights are random."""
    env = Constant(observation, action)
    more = {} if algorithm == "PPO" else {"buffer_size": 1}
    model = getattr(library, algorithm)(
        f"{kind}Policy", env, seed=0, device="cpu", policy_kwargs=made, **more
    )
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for name, parameter in model.policy.named_parameters():
            if name in ("action_net.weight", "actor.mu.weight"):
                parameter.mul_(4)  # so that bounds are met
    model.save(tmp_path / "model.zip")
    policy = getattr(sb3, f"load_{algorithm.lower()}")(tmp_path / "model.zip", env)
    task = sb3.task(lambda: Constant(observation, action), control_hz=20)
    for _ in range(8):
        seen = observation.sample()
        wanted, _ = model.predict(seen, deterministic=True)
        np.testing.assert_allclose(acted(policy, task, seen), wanted, atol=1e-4)
    assert {component.name for component in policy.components} == components
    build_graph(policy)


def test_normalisation_is_that_of_vecnormalize(library, tmp_path):
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    observation = spaces.Dict(
        {"a": spaces.Box(-9, 9, (3,), np.float32), "b": spaces.Box(0, 1, (2,), np.float32)}
    )
    env = VecNormalize(DummyVecEnv([lambda: Constant(observation, ACTIONS)]), clip_obs=1.2)
    env.reset()
    for _ in range(20):
        env.step([ACTIONS.sample()])
    model = library.PPO("MultiInputPolicy", env, seed=0, device="cpu")
    model.save(tmp_path / "model.zip")
    arrays = {f"{k}.{n}": getattr(rms, n) for k, rms in env.obs_rms.items() for n in ("mean", "var")}
    np.savez(tmp_path / "normalise.npz", **arrays, epsilon=env.epsilon, clip=env.clip_obs)
    policy = sb3.load_ppo(tmp_path / "model.zip", env, normalise=tmp_path / "normalise.npz")
    task = sb3.task(lambda: Constant(observation, ACTIONS), control_hz=20)
    bare = sb3.load_ppo(tmp_path / "model.zip", env)
    before = sb3.task(lambda: Constant(observation, ACTIONS), 20, normalise=tmp_path / "normalise.npz")
    for _ in range(8):
        seen = observation.sample()
        wanted, _ = model.predict(env.normalize_obs(seen), deterministic=True)
        np.testing.assert_allclose(acted(policy, task, seen), wanted, atol=1e-5)
        np.testing.assert_allclose(acted(bare, before, seen), wanted, atol=1e-5)


def test_files_of_other_algorithms_and_custom_classes_are_refused(tmp_path):
    path = sb3_zip(tmp_path / "a.zip")
    with pytest.raises(SecateurError, match="Use load_ppo"):
        sb3.load_td3(path, VECTOR)
    data = b'{"policy_class": {"__module__": "__main__"}}'
    with pytest.raises(SecateurError, match="defined in __main__"):
        sb3.load_ppo(sb3_zip(tmp_path / "b.zip", data=data), VECTOR)


@pytest.mark.slow
def test_a_camera_and_joints_go_through(tmp_path):
    camera = {
        "cnn.0.weight": torch.randn(6, 3, 8, 8) / 14,
        "cnn.0.bias": torch.randn(6),
        "cnn.2.weight": torch.randn(5, 6, 4, 4) / 10,
        "cnn.2.bias": torch.randn(5),
        "cnn.4.weight": torch.randn(4, 5, 3, 3) / 7,
        "cnn.4.bias": torch.randn(4),
        "linear.0.weight": torch.randn(7, 4),
        "linear.0.bias": torch.randn(7),
    }
    state = {
        **sb3_state(observation=14),
        **{f"pi_features_extractor.extractors.camera.{k}": t for k, t in camera.items()},
    }
    policy = sb3.load_ppo(sb3_zip(tmp_path / "a.zip", state), spaces_of(CAMERA, ACTIONS))
    goes_through(policy, ["act"])


def agent_state():
    return {
        **layers("actor_mean.", 5, 8, 8, 2),
        **layers("critic.", 5, 8, 8, 1, seed=1),
        "actor_logstd": torch.zeros(1, 2),
    }


def test_an_agent_of_cleanrl(tmp_path):
    state = agent_state()
    torch.save(state, tmp_path / "agent.pt")
    save_file(state, tmp_path / "agent.safetensors")
    statistics = Statistics(np.full(5, 0.5), np.full(5, 4.0))
    agent = nn.Sequential(
        *(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)),
    )
    agent.load_state_dict({k.removeprefix("actor_mean."): t for k, t in state.items() if "mean" in k})
    for name in ("agent.pt", "agent.safetensors"):
        policy = cleanrl.load_ppo(tmp_path / name, VECTOR, activation="tanh", normalise=statistics)
        task = cleanrl.task(lambda: VECTOR, control_hz=50)
        seen = VECTOR.observation_space.sample()
        with torch.no_grad():
            wanted = agent(torch.from_numpy((seen - 0.5) / 2)).numpy().clip(-1.5, 1.5)
        np.testing.assert_allclose(acted(policy, task, seen), wanted, atol=1e-5)
    build_graph(policy)
    with pytest.raises(SecateurError, match="an activation is one"):
        cleanrl.load_ppo(tmp_path / "agent.pt", VECTOR, activation="sine")
    torch.save({**state, "network.0.weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(SecateurError, match=r"network\.0\.weight"):
        cleanrl.load_ppo(tmp_path / "other.pt", VECTOR, activation="tanh")


def test_discrete_choices_of_cleanrl(tmp_path):
    state = {**layers("actor.", 5, 8, 3), **layers("critic.", 5, 8, 1)}
    torch.save(state, tmp_path / "agent.pt")
    where = spaces_of(VECTOR.observation_space, spaces.Discrete(3))
    policy = cleanrl.load_ppo(tmp_path / "agent.pt", where, activation="tanh")
    assert acted(policy, make_task(lambda: where, 50), np.zeros(5, np.float32)) in (0, 1, 2)


def _normaliser(width):
    generator = torch.Generator().manual_seed(7)
    deviation = 0.5 + torch.rand(1, width, generator=generator)
    return {
        "_mean": torch.randn(1, width, generator=generator),
        "_var": deviation**2,
        "_std": deviation,
        "count": torch.tensor(9),
    }


def _prefixed(prefix, state):
    return {prefix + key: tensor for key, tensor in state.items()}


def rsl_files(critic=6):
    """The three layouts of ``model_*.pt``."""
    actor, value = layers("", 6, 9, 8, 3), layers("", critic, 9, 8, 1, seed=1)
    own, others = _normaliser(6), _normaliser(critic)
    both = {**_prefixed("actor.", actor), **_prefixed("critic.", value), "std": torch.ones(3)}
    return {
        "beside": {
            "model_state_dict": both,
            "obs_norm_state_dict": own,
            "privileged_obs_norm_state_dict": others,
            "iter": 3,
            "infos": None,
        },
        "inside": {
            "model_state_dict": {
                **both,
                **_prefixed("actor_obs_normalizer.", own),
                **_prefixed("critic_obs_normalizer.", others),
            },
        },
        "apart": {
            "actor_state_dict": {
                **_prefixed("mlp.", actor),
                **_prefixed("obs_normalizer.", own),
                "distribution.std_param": torch.ones(3),
            },
            "critic_state_dict": {**_prefixed("mlp.", value), **_prefixed("obs_normalizer.", others)},
        },
    }


@pytest.mark.parametrize("layout", rsl_files())
def test_actor_critics_of_rsl_rl(tmp_path, layout):
    torch.save(rsl_files()[layout], tmp_path / "model_3.pt")
    policy = rsl_rl.load_actor_critic(tmp_path / "model_3.pt", activation="elu")
    actor = nn.Sequential(nn.Linear(6, 9), nn.ELU(), nn.Linear(9, 8), nn.ELU(), nn.Linear(8, 3))
    actor.load_state_dict(layers("", 6, 9, 8, 3))
    own, x = _normaliser(6), torch.randn(4, 6)
    with torch.no_grad():
        wanted = actor((x - own["_mean"]) / (own["_std"] + 1e-2))
        assert torch.allclose(policy.module.act(observation=x)["action"], wanted, atol=1e-5)
    assert {c.name for c in policy.components} == {"actor", "head", "critic"}
    if layout == "apart":
        goes_through(policy, ["act", "value"])


def test_critics_with_observations_of_their_own_are_left_out(tmp_path):
    torch.save(rsl_files(critic=11)["inside"], tmp_path / "model_3.pt")
    policy = rsl_rl.load_actor_critic(tmp_path / "model_3.pt", activation="elu")
    assert {c.name for c in policy.components} == {"actor", "head"}


def test_models_of_rsl_rl_that_do_more_are_refused(tmp_path):
    for change, words in (
        ({"memory_a.rnn.weight_ih_l0": torch.zeros(2, 2)}, "memory_a"),
        ({"std": None}, "a parameter of its own"),
    ):
        found = rsl_files()["inside"]["model_state_dict"]
        torch.save(
            {"model_state_dict": {k: v for k, v in {**found, **change}.items() if v is not None}},
            tmp_path / "model_3.pt",
        )
        with pytest.raises(SecateurError, match=words):
            rsl_rl.load_actor_critic(tmp_path / "model_3.pt", activation="elu")


def published_q(state, both):
    """Every member's Q by the published formulas, on stacked parameters."""
    x = both.expand(3, *both.shape)
    for number in range(2):
        x = x @ state[f"_Qs.params.{number}.weight"].mT + state[f"_Qs.params.{number}.bias"][:, None]
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        x = x * state[f"_Qs.params.{number}.ln.weight"][:, None]
        x = nn.functional.mish(x + state[f"_Qs.params.{number}.ln.bias"][:, None])
    logits = x @ state["_Qs.params.2.weight"].mT + state["_Qs.params.2.bias"][:, None]
    mean = (logits.softmax(-1) * torch.linspace(-10, 10, 11)).sum(-1)
    return mean.sign() * (mean.abs().exp() - 1)


def test_a_world_model_of_tdmpc2(tmp_path):
    state = tdmpc2_state()
    torch.save({"model": state}, tmp_path / "agent.pt")
    policy = tdmpc2.load_world_model(tmp_path / "agent.pt", simplex=4)
    latent, action = torch.softmax(torch.randn(6, 4, 4), -1).flatten(1), torch.rand(6, 2)
    with torch.no_grad():
        found = policy.module.value_of(latent, action)
        wanted = published_q(state, torch.cat([latent, action], -1))
    assert torch.allclose(torch.stack(list(found.values()))[..., 0], wanted, atol=1e-4, rtol=1e-4)
    graph = goes_through(policy, ["act", "value"])
    coupling = [g for g in graph.groups if len(g.components) > 1]
    assert [set(g.components) for g in coupling] == [{"encoder", "dynamics", "reward", "policy", "values"}]


def test_numbered_parameters_of_the_ensemble_are_the_same_ones(tmp_path):
    state = tdmpc2_state()
    kept = {k: t for k, t in state.items() if not k.startswith("_Qs.")}
    order = [f"_Qs.params.{n}.{p}" for n in range(3) for p in ("weight", "bias", "ln.weight", "ln.bias")]
    numbered = {f"_Qs.params.{i}": state[k] for i, k in enumerate(order) if k in state}
    torch.save({"model": {**kept, **numbered}}, tmp_path / "old.pt")
    torch.save(state, tmp_path / "new.pt")
    one, two = (tdmpc2.load_world_model(tmp_path / f"{n}.pt", simplex=4).module for n in ("old", "new"))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values()))


def test_one_task_of_several(tmp_path):
    torch.save(tdmpc2_state(tasks=3), tmp_path / "agent.pt")
    policy = tdmpc2.load_world_model(tmp_path / "agent.pt", simplex=4, task=1)
    assert policy.components[-1].name == "task"
    assert float(policy.module.task.detach().norm()) <= 1.0001
    build_graph(policy)
    for task in (None, 3):
        with pytest.raises(SecateurError, match="tasks 0 to 2"):
            tdmpc2.load_world_model(tmp_path / "agent.pt", simplex=4, task=task)
    with pytest.raises(SecateurError, match="simplices of 5"):
        tdmpc2.load_world_model(tmp_path / "agent.pt", simplex=5, task=0)


CHANGES = {
    "a number": lambda _: torch.tensor(1.0),
    "a row less": lambda t: t[1:] if t.dim() else t,
    "an axis more": lambda t: t[None],
    "nothing": lambda t: t[:0] if t.dim() else t,
    "missing": lambda _: None,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_tensors_of_other_shapes_give_one_error(tmp_path, change):
    """Whichever one it is; what is still a network is loaded."""
    path = tmp_path / "model.pt"
    for state, load in (
        (tdmpc2_state(), lambda: tdmpc2.load_world_model(path, simplex=4)),
        (tdmpc2_state(tasks=3), lambda: tdmpc2.load_world_model(path, simplex=4, task=1)),
        *((f, lambda: rsl_rl.load_actor_critic(path, activation="elu")) for f in rsl_states()),
    ):
        for name, tensor in state.items():
            changed = {**state, name: change(tensor)}
            torch.save({k: t for k, t in changed.items() if t is not None}, path)
            if "actor.0.weight" in state:
                torch.save({"model_state_dict": {k: t for k, t in changed.items() if t is not None}}, path)
            with suppress(SecateurError):
                load()


def rsl_states():
    return [f["model_state_dict"] for f in rsl_files().values() if "model_state_dict" in f]


def test_the_table_names_every_loader():
    from secateur.adapters.table import LOADERS

    for name, loader in LOADERS.items():
        module, _, function = name.rpartition(".")
        assert getattr(importlib.import_module(f"secateur.adapters.{module}"), function) is loader
