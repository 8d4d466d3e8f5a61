import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from secateur.errors import SecateurError
from secateur.policy.imported import files_of
from secateur.policy.load import load, shipped_policies
from secateur.policy.policy import Component, Entry, Policy
from secateur.policy.weights import load_weights


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(torch.relu(self.encoder(x)))


def _policy(module=None, components=None, entries=None, **more):
    module = module or Net()
    components = components or (Component("encoder", ("encoder",)), Component("head", ("head",)))
    entries = entries or (Entry("act", Net.forward, {"x": torch.zeros(1, 3)}),)
    return Policy("net", module, components, entries, **more)


def test_every_parameter_has_one_owner():
    assert _policy().component_of()["head.bias"] == "head"
    with pytest.raises(SecateurError, match=r"head\.weight belongs to none"):
        _policy(components=(Component("encoder", ("encoder",)),))
    with pytest.raises(SecateurError, match="encoder and again"):
        _policy(components=(Component("encoder", ("encoder",)), Component("again", ("encoder", "head"))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"components": (Component("encoder", ("encodr",)), Component("head", ("head",)))}, "encodr"),
        ({"components": (Component("a", ("encoder",)), Component("a", ("head",)))}, "two are called 'a'"),
        ({"deployed": "fly"}, "deployed entry is 'fly'"),
        ({"entries": (Entry("act", Net.forward, {"x": torch.zeros(1, 3)}, feeds={"y": ("act",)}),)}, "'y'"),
        ({"entries": (Entry("act", Net.forward, {"x": torch.zeros(1, 3)}, feeds={"x": ("see",)}),)}, "'see'"),
    ],
)
def test_declarations_agree_with_the_module(change, words):
    with pytest.raises(SecateurError, match=words):
        _policy(**change)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_are_finite(bad):
    net = Net()
    net.head.weight.data[0, 0] = bad
    with pytest.raises(SecateurError, match=r"head\.weight holds NaN or infinity"):
        _policy(net)


def test_weights_round_trip(tmp_path):
    one, two = Net(), Net()
    save_file(one.state_dict(), tmp_path / "w.safetensors")
    load_weights(two, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))


def test_damaged_weights_are_refused_and_change_nothing(tmp_path):
    net = Net()
    before = {n: t.clone() for n, t in net.state_dict().items()}
    path = tmp_path / "w.safetensors"
    save_file(net.state_dict(), path)
    whole = path.read_bytes()
    for cut in (0, 3, 8, 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(SecateurError, match="whole safetensors file"):
            load_weights(net, path)
    save_file({"head.weight": torch.zeros(2, 4)}, path)
    with pytest.raises(SecateurError, match="lacks encoder"):
        load_weights(net, path)
    save_file({**net.state_dict(), "extra": torch.zeros(1)}, path)
    with pytest.raises(SecateurError, match="has extra"):
        load_weights(net, path)
    save_file({**net.state_dict(), "head.bias": torch.zeros(3)}, path)
    with pytest.raises(SecateurError, match=r"head\.bias is \[3\]"):
        load_weights(net, path)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


def test_pickles_are_never_opened(tmp_path):
    path = tmp_path / "w.pt"
    torch.save(Net().state_dict(), path)
    with pytest.raises(SecateurError, match="pickle can run code"):
        load_weights(Net(), path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SecateurError, match="there is no file"):
        load_weights(Net(), tmp_path / "none.safetensors")


def test_unknown_policies_list_the_shipped_ones():
    with pytest.raises(SecateurError, match="tdmpc_cartpole"):
        load("nonsense")
    with pytest.raises(SecateurError, match="can be imported"):
        load("no_such_module:policy")


def test_a_folder_needs_a_policy_function(tmp_path):
    (tmp_path / "policy.py").write_text("x = 1\n")
    with pytest.raises(SecateurError, match=r"defines policy\(\)"):
        load(str(tmp_path))


FILES = {
    "made.py": "import torch\nfrom beside import net\nfrom within.deep import more\n\ndef build():\n    import late\n",
    "beside.py": "import other as net\n",
    "other.py": "SCENE = 'scene.xml'\n",
    "scene.xml": "<mujoco/>",
    "late.py": "from within import deep\n",
    "within/__init__.py": "",
    "within/deep.py": "from . import sibling as more\nfrom ..late import deep\n",
    "within/sibling.py": "x = 1\n",
    "within/unused.py": "x = 1\n",
    "stranger.py": "x = 1\n",
    "stranger.toml": "x = 1\n",
}
UNUSED = {"within/unused.py", "stranger.py", "stranger.toml"}


def write(folder):
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_function_is_its_module_and_what_that_imports_or_names_beside_it(tmp_path):
    found = files_of("made", write(tmp_path) / "made.py")
    assert {str(path.relative_to(tmp_path.resolve())) for path in found} == set(FILES) - UNUSED
    inside = files_of("within.deep", tmp_path / "within" / "deep.py")
    assert {path.name for path in inside} == {"__init__.py", "deep.py", "sibling.py", "late.py"}
    (tmp_path / "within" / "sibling.py").write_text("no python (\n")
    assert set(found) == set(files_of("made", tmp_path / "made.py"))  # whoever imports it is told


def test_an_installed_package_ends_at_itself():
    import numpy

    found = files_of("numpy.version", Path(numpy.__file__).parent / "version.py")
    assert found
    assert {path.relative_to(Path(numpy.__file__).parents[1]).parts[0] for path in found} == {"numpy"}


@pytest.mark.parametrize("changed", sorted(FILES))
def test_the_hash_of_a_function_is_that_of_all_its_files(tmp_path, monkeypatch, changed):
    folder = write(tmp_path / f"hashed_{changed.replace('/', '_').replace('.', '_')}")
    source = FILES["made.py"].replace("import torch\n", "from networks import world_model\n")
    (folder / "made.py").write_text(source + "    return world_model()\n")
    name = f"{folder.name}.made"
    monkeypatch.syspath_prepend(tmp_path)
    for file in folder.rglob("*.py"):  # in a package, whose files import each other by its name
        text = file.read_text().replace("from beside", f"from {folder.name}.beside")
        text = text.replace("from within", f"from {folder.name}.within").replace(
            "import other", "from . import other"
        )
        file.write_text(text.replace("import late", "from . import late"))
    before = load(f"{name}:build").code_sha256
    (folder / changed).write_text((folder / changed).read_text() + "\n")
    assert (load(f"{name}:build").code_sha256 != before) == (changed not in UNUSED)


@pytest.mark.parametrize("folder", shipped_policies(), ids=lambda p: p.name)
def test_shipped_policies_run_every_entry(folder):
    loaded = load(folder.name)
    assert loaded.task is not None
    for entry in loaded.policy.entries:
        with torch.no_grad():
            outputs = entry.run(loaded.policy.module, entry.example_inputs)
        assert all(torch.isfinite(t).all() for t in outputs.values())
    assert (folder / "README.md").is_file()
    assert loaded.task.return_range is not None  # what a verdict's confidence rests on


def test_shipped_policies_are_listed_with_what_their_cards_say(secateur):
    code, out, _ = secateur("policies", "--json")
    listed = {each["name"]: each for each in json.loads(out)}
    assert code == 0
    assert listed.keys() == {folder.name for folder in shipped_policies()}
    cart = listed["tdmpc_cartpole"]
    assert sum(cart["parameters"].values()) == 1_487_976
    assert cart["title"] == "TD-MPC on cart-pole swing-up"
    assert cart["evaluation"]["act"]["successes"] == 100
    code, out, _ = secateur("policies")
    assert code == 0
    for name in listed:
        assert name in out
    code, out, _ = secateur("policies", "cartpole_gru")
    assert (code, "Cortex-M0+" in out) == (0, True)
    code, _, said = secateur("policies", "nobody")
    assert code == 1
    assert "tdmpc_cheetah" in said
