"""``secateur init``: what it writes loads, says what it guessed, and never replaces anything."""

import sys
import textwrap

import pytest
import torch

from secateur.adapters.scaffold import parse_input, write_policy
from secateur.errors import SecateurError, UsageError
from secateur.graph.groups import build_graph
from secateur.policy.load import load

PARTS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.camera = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(196, 8))
        self.joints = nn.Linear(4, 8)
        self.actor_mean = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
        self.actor_log_std = nn.Parameter(torch.zeros(2))
        self.q1, self.q2 = nn.Linear(16, 1), nn.Linear(16, 1)
        self.idle = nn.Linear(2, 2)

    def forward(self, image, q):
        both = torch.cat([self.camera(image), self.joints(q)], 1)
        return torch.tanh(self.actor_mean(both)), None, self.q1(both)

    def value(self, image, q):
        both = torch.cat([self.camera(image), self.joints(q)], 1)
        return {"q1": self.q1(both), "q2": self.q2(both)}

    def next(self, latent, action):
        return latent
"""


def written(folder, text, *inputs, name="net.py", wanted=""):
    (folder / name).write_text(textwrap.dedent(text))
    lines = write_policy(str(folder / name) + wanted, inputs)
    return lines, (folder / "policy.py").read_text()


def test_components_entries_and_gaps(tmp_path):
    lines, text = written(tmp_path, PARTS, "image=1x3x16x16", "q=1x4")
    policy = load(str(tmp_path)).policy
    assert {c.name: c.modules for c in policy.components} == {
        "camera": ("camera",),
        "joints": ("joints",),
        "actor": ("actor_mean", "actor_log_std"),
        "q": ("q1", "q2"),
        "idle": ("idle",),
    }
    assert {e.name: list(e.run(policy.module, e.example_inputs)) for e in policy.entries} == {
        "act": ["output0", "output2"],
        "value": ["q1", "q2"],
    }
    build_graph(policy)
    for words in ("no entry reaches idle", "next() is no entry yet: no example of latent, action", "task()"):
        assert any(words in line and "TODO" in line for line in lines)
    assert "Reaches camera, joints, actor, q." in text
    assert "actor_log_std may belong elsewhere" in text.replace("\n            #", "")
    assert max(map(len, text.splitlines())) <= 120


def test_the_command_writes_what_inspect_reads(tmp_path, secateur):
    (tmp_path / "net.py").write_text(PARTS)
    code, out, _ = secateur("init", tmp_path / "net.py", "--input", "image=1x3x16x16", "--input", "q=1x4")
    assert code == 0
    assert "component actor" in out
    code, out, _ = secateur("inspect", tmp_path)
    assert code == 0
    assert "actor_mean.0" in out
    code, _, err = secateur("init", tmp_path / "net.py", "--input", "q=1x4")
    assert code == 1
    assert "is there already" in err


PLAIN = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.ModuleDict({"encoder": nn.Linear(3, 8), "head": nn.Linear(8, 2)})

    def forward(self, x):
        return self.model["head"](self.model["encoder"](x).relu())
"""


def test_a_single_child_is_looked_into_and_an_input_guessed(tmp_path):
    lines, text = written(tmp_path, PLAIN)
    policy = load(str(tmp_path)).policy
    assert [c.modules for c in policy.components] == [("model.encoder",), ("model.head",)]
    assert policy.entry("act").example_inputs["x"].shape == (1, 3)
    assert any("guessed from the first layer" in line for line in lines)
    assert "TODO its input was guessed" in text


@pytest.mark.parametrize("name", ["Policy", "Path", "torch"])
def test_names_that_mean_something_else_are_no_trouble(tmp_path, name):
    written(tmp_path, PLAIN.replace("class Net", f"class {name}"))
    assert load(str(tmp_path)).policy.name == "net"


def test_weights_are_read_once_they_are_there(tmp_path):
    from safetensors.torch import save_file

    written(tmp_path, PLAIN)
    state = load(str(tmp_path)).policy.module.state_dict()
    save_file({name: torch.full_like(t, 0.5) for name, t in state.items()}, tmp_path / "weights.safetensors")
    assert all(float(p.detach().mean()) == 0.5 for p in load(str(tmp_path)).policy.module.parameters())


def test_functions_and_files_beside_the_module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "blocks_of_mine.py").write_text(
        "from torch import nn\n\ndef block():\n    return nn.Linear(3, 2)\n"
    )
    text = """
    from blocks_of_mine import block
    from torch import nn

    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.head = block()

        def act(self, x):
            return self.head(x)

    def make():
        return Net(7)
    """
    _, made = written(tmp_path, text, "x=1x3", wanted=":make")
    assert "sys.path.insert" in made
    assert (
        load(str(tmp_path))
        .policy.entry("act")
        .run(load(str(tmp_path)).policy.module, {"x": torch.ones(1, 3)})
    )


@pytest.mark.parametrize(
    ("text", "wanted", "inputs", "words"),
    [
        ("x = 1", "", (), "defines none"),
        ("from torch import nn\nclass A(nn.Module): ...\nclass B(nn.Module): ...", "", (), "defines A, B"),
        ("from torch import nn\nclass A(nn.Module): ...", "", (), "A has none"),
        ("def make():\n    return 3", ":make", (), "gives int"),
        ("raise ValueError('no')", "", (), "ValueError: no"),
        ("import sys\nsys.exit(2)", "", (), "SystemExit"),
        ("import nothing_of_that_name", "", (), "nothing_of_that_name"),
        ("def f(:", "", (), "SyntaxError"),
        (PARTS, ":Other", (), "Other"),
        (PARTS.replace("__init__(self)", "__init__(self, n)"), "", (), "missing 1 required"),
        (PARTS, "", ("q=1x4",), "no example of image"),
        (PARTS, "", ("image=1x3x16x16", "q=1x5"), "forward: RuntimeError"),
    ],
)
def test_what_cannot_be_guessed_is_refused_and_nothing_written(tmp_path, text, wanted, inputs, words):
    with pytest.raises(SecateurError, match=words):
        written(tmp_path, text, *inputs, wanted=wanted)
    assert not [path for path in tmp_path.iterdir() if "policy" in path.name]


def test_paths_that_are_no_module(tmp_path):
    (tmp_path / "my-net.py").write_text(PLAIN)
    for name in ("my-net.py", "none.py", "folder", "policy.py:Net:x"):
        with pytest.raises(SecateurError, match="named as"):
            write_policy(str(tmp_path / name), ())


def test_links_are_not_followed(tmp_path):
    (tmp_path / "policy.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(SecateurError, match="there already"):
        written(tmp_path, PLAIN, name="net.py")
    assert not (tmp_path / "elsewhere.py").exists()


@pytest.mark.parametrize("text", ["x", "x=", "x=0x3", "x=1x3:float99", "x=-1", "1x=3", "x=1x" + "9" * 9])
def test_inputs_that_say_nothing(text):
    with pytest.raises(UsageError):
        parse_input(text)


def test_inputs_with_a_dtype():
    name, tensor = parse_input("mode=1x2:int64")
    assert (name, tuple(tensor.shape), tensor.dtype) == ("mode", (1, 2), torch.int64)
