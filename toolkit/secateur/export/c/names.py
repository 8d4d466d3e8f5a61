"""C names for steps, inputs and outputs: readable, unique, the same every time."""

import re


def identifier(text: str) -> str:
    """Letters, digits and single underscores: ``"policy/fc1"`` → ``"policy_fc1"``."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower() or "unnamed"


class Names:
    """Names under one prefix, each given once."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._given: set[str] = set()

    def constant(self, kind: str, label: str) -> str:
        """``("weights", "policy/fc1")`` → ``"reacher_weights_policy_fc1"``."""
        base = f"{self.prefix}_{kind}_{identifier(label)}"
        name, count = base, 2
        while name in self._given:
            name, count = f"{base}_{count}", count + 1
        self._given.add(name)
        return name
