"""Policies with a memory, untrained: a GRU, and a plain recurrent cell whose next state is a TANH."""

import gymnasium
import torch
from torch import nn

from secateur.policy.policy import Component, Entry, Policy, Task


class Net(nn.Module):
    """Observation and hidden state → action and the next hidden state."""

    def __init__(self, cell):
        super().__init__()
        self.encoder, self.cell, self.head = nn.Linear(3, 16), cell(16, 12), nn.Linear(12, 1)

    def act(self, observation, hidden):
        hidden = self.cell(torch.relu(self.encoder(observation)), hidden)
        return {"torque": torch.tanh(self.head(hidden)), "hidden": hidden}


def _policy(name, cell):
    torch.manual_seed(0)
    net = Net(cell)
    examples = {"observation": torch.zeros(1, 3), "hidden": torch.zeros(1, 12)}
    entry = Entry("act", Net.act, examples, feeds={"hidden": ("act.hidden",)})
    return Policy(name, net, (Component("all", ("encoder", "cell", "head")),), (entry,))


def gru():
    """A GRU with its task."""
    return _policy("gru", nn.GRUCell), _task()


def rnn():
    """A cell whose next state is a TANH, whose scale nobody chooses; without a task."""
    return _policy("rnn", nn.RNNCell)


def _task():
    return Task(
        make_env=lambda: gymnasium.make("Pendulum-v1", max_episode_steps=20),
        to_inputs=lambda observation: {"observation": observation.astype("float32")[None]},
        to_action=lambda outputs: 2.0 * outputs["torque"][0],
        control_hz=20,
    )
