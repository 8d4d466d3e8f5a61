"""The policy on the robot: numpy and a TFLite runtime (ai-edge-litert, or tflite-runtime with numpy<2), nothing else.

from robot import Policy, ControlLoop

policy = Policy(".")                    # the folder with policy.json
action = policy.act(observation)        # an array, or a dict of arrays as policy.json says

loop = ControlLoop(policy, rate_hz=50, read=sensors, write=motors, safe_action=[0.0])
loop.run(seconds=60)
print(loop.statistics())
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np


def _interpreter(path: str, threads: int) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    interpreter = Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


class Network:
    """One signature of one .tflite, called with real numbers.

    Args:
        path: of the file.
        signature: its record in policy.json.
        threads: of a call.
        shared: interpreter of the file, where other signatures of it use one already.
    """

    def __init__(self, path: str, signature: dict[str, Any], threads: int = 1, shared: Any = None) -> None:
        self.interpreter = shared or _interpreter(path, threads)
        several = len(self.interpreter.get_signature_list()) > 1
        runner = self.interpreter.get_signature_runner(signature["name"])
        taken, given = runner.get_input_details(), runner.get_output_details()
        self._runner = runner if several else None
        del runner  # while one is there, the plain interface, which is quicker, refuses to work
        self._inputs = [(key, taken[key]["index"], record) for key, record in signature["inputs"].items()]
        self._outputs = [(key, given[key]["index"], record) for key, record in signature["outputs"].items()]

    def __call__(self, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """Name → real numbers, of the shape in policy.json or as many elements; gives outputs likewise."""
        stored = {name: _store(np.asarray(inputs[name]), record) for name, _, record in self._inputs}
        if self._runner is not None:
            answer = self._runner(**stored)
            return {name: _real(answer[name], record) for name, _, record in self._outputs}
        for name, index, _ in self._inputs:
            self.interpreter.set_tensor(index, stored[name])
        self.interpreter.invoke()
        return {
            name: _real(self.interpreter.get_tensor(index), record) for name, index, record in self._outputs
        }


def _store(values: np.ndarray, record: dict[str, Any]) -> np.ndarray:
    shaped = values.reshape(record["shape"])
    if record["scale"] is None:
        return shaped.astype(record["dtype"])
    limits = np.iinfo(record["dtype"])
    steps = np.rint(shaped.astype(np.float32) / np.float32(record["scale"])) + record["zero_point"]
    return np.clip(steps, limits.min, limits.max).astype(record["dtype"])


def _real(stored: np.ndarray, record: dict[str, Any]) -> np.ndarray:
    if record["scale"] is None:
        return stored
    return np.float32(record["scale"]) * (stored.astype(np.int64) - record["zero_point"]).astype(np.float32)


def _apply(record: dict[str, Any], flat: np.ndarray) -> np.ndarray:
    """A map of elements as policy.json states it: pick, scale, shift, clip."""
    picked = record["index"]
    if isinstance(picked, dict):
        picked = slice(picked["start"], picked["start"] + int(np.prod(record["shape"])))
    values = flat[picked]
    low, high = _numbers(record["low"], -np.inf), _numbers(record["high"], np.inf)
    mapped = np.asarray(record["scale"]) * values + np.asarray(record["offset"])
    return np.clip(mapped, low, high).reshape(record["shape"]).astype(np.float32)


def _numbers(values: Any, missing: float) -> np.ndarray:
    filled = [missing if v is None else v for v in values] if isinstance(values, list) else values
    return np.asarray(missing if filled is None else filled, np.float64)


class Policy:
    """Observation → action, as it was in simulation.

    Components and parts with rates of their own run when they are due; in between, their last outputs are used.

    Args:
        folder: holds policy.json and the .tflite files.
        threads: of each call.
        whole: run the policy as one network, even where its components have rates of their own.
        clock: seconds; for tests.
        background: run parts slower than the control rate in a thread of their own, where they take longer than is
            left of a control period.
    """

    def __init__(
        self,
        folder: Any,
        threads: int = 1,
        whole: bool = False,
        clock: Callable[[], float] = time.monotonic,
        background: bool = False,
    ) -> None:
        self.folder, self._clock = Path(folder), clock
        self.description = json.loads((self.folder / "policy.json").read_text())
        files = {
            kind: [f for f in self.description["files"] if f["kind"] == kind]
            for kind in ("whole", "component", "planner", "part")
        }
        self._steps: list[tuple[dict[str, Any], Any]] = []
        for file in files["planner"]:
            from planner import planner_of

            load = partial(Network, str(self.folder / file["file"]), threads=threads)
            self._steps.append(planner_of(self.description["planner"], file, load))
        for file in files["component"] if files["component"] and not whole else files["whole"]:
            signature = file["signatures"][0]
            network: Any = Network(str(self.folder / file["file"]), signature, threads)
            if file["kind"] == "component" and file["rate_hz"]:
                from parts import Slower

                network = Slower(network, 1.0 / file["rate_hz"])
            self._steps.append((signature, network))
        if files["part"]:
            from parts import held_parts

            load = partial(Network, threads=threads)
            self._steps += held_parts(self.folder, files["part"], load, background)
        self._last = files["part"][-1]["signatures"][0]["name"] if files["part"] else None
        self.reset()

    @property
    def control_hz(self) -> float | None:
        """The rate that the policy was made for."""
        return self.description["control_hz"]

    def reset(self) -> None:
        """Forgets the past: states, and what slower components said."""
        states = self.description["states"]
        self._states = {s["input"]: np.asarray(s["initial"], np.float32) for s in states}
        for _, run in self._steps:
            if not isinstance(run, Network):
                run.reset()

    def act(self, observation: Any) -> Any:
        """One control step.

        Args:
            observation: as the environment gives it: an array, or a dict of arrays. Where policy.json has no
                ``observation``, the inputs of the network by name.

        Returns:
            The action as the environment takes it; where policy.json has no ``action``, the outputs by name.
        """
        outputs = self.infer({**self._inputs(observation), **self._states})
        for state in self.description["states"]:
            self._states[state["input"]] = outputs[state["output"]]
        action = self.description["action"]
        if action is None:
            return outputs
        flat = np.concatenate([np.ravel(outputs[name]) for name in action["outputs"]])
        return _apply(action, flat)

    def infer(self, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """The networks alone, or the planner with them: inputs by name → outputs by name."""
        known, now = dict(inputs), self._clock()
        made: dict[str, dict[str, np.ndarray]] = {}
        for signature, run in self._in_order():
            own = {name: self._find(name, signature, known, made) for name in signature["inputs"]}
            made[signature["name"]] = run(own, now) if hasattr(run, "period_s") else run(own)
        if self._last is not None:
            return made[self._last]
        outputs: dict[str, np.ndarray] = {}
        for values in made.values():
            outputs.update(values)
        if len(made) > 1:  # a single output is named after its entry; the last component's is the policy's
            whole = next(f for f in self.description["files"] if f["kind"] == "whole")
            wanted = whole["signatures"][0]["outputs"]
            *_, last = made.values()
            for name in wanted:
                if name not in outputs and len(wanted) == len(last) == 1:
                    outputs[name] = next(iter(last.values()))
        return outputs

    def _in_order(self) -> list[tuple[dict[str, Any], Any]]:
        """Components after those that feed them."""
        waiting, ordered = list(self._steps), []
        done: set[str] = set()
        names = {signature["name"] for signature, _ in waiting}
        while waiting:
            for step in waiting:
                feeds = {source.split(".")[0] for sources in step[0]["feeds"].values() for source in sources}
                if not (feeds & names) - done - {step[0]["name"]}:
                    ordered.append(step)
                    done.add(step[0]["name"])
                    waiting.remove(step)
                    break
            else:
                raise ValueError(
                    "components wait for each other: " + ", ".join(s["name"] for s, _ in waiting)
                )
        return ordered

    @staticmethod
    def _find(name: str, signature: dict[str, Any], known: dict[str, Any], made: dict[str, Any]) -> Any:
        for source in signature["feeds"].get(name, ()):
            entry, _, output = source.partition(".")
            if entry in made:
                outputs = made[entry]
                return outputs[output or (name if name in outputs else next(iter(outputs)))]
        return known[name]

    def _inputs(self, observation: Any) -> dict[str, Any]:
        record = self.description["observation"]
        if record is None:
            return dict(observation)
        parts = [observation[key] for key in record["keys"]] if record["keys"] else [observation]
        flat = np.concatenate([np.ravel(np.asarray(part)) for part in parts])
        return {name: _apply(m, flat.astype(np.float64)) for name, m in record["inputs"].items()}


class Overrun(RuntimeError):
    """A deadline was missed, and the loop was told to stop then."""


class ControlLoop:
    """Calls the policy at a fixed rate and says what became of every period.

    Args:
        policy: something with ``act``.
        rate_hz: of the loop.
        read: seconds it may wait → observation, or None where none came.
        write: takes an action.
        safe_action: written where there is no other: the policy failed or gave something not finite, or nothing was
            observed for ``watchdog_s``.
        overrun: ``skip`` leaves out the periods that a late one has eaten; ``catch-up`` does them at once; ``stop``
            raises ``Overrun``.
        watchdog_s: longest time without an observation, or without the loop coming round, before the safe action
            is written. Ten periods by default.
        follow: a period starts when an observation comes, rather than by this clock: another computer has the
            clock.
        clock, sleep: seconds; for tests.
    """

    def __init__(
        self,
        policy: Any,
        rate_hz: float,
        read: Callable[[float], Any],
        write: Callable[[Any], None],
        safe_action: Any,
        overrun: str = "skip",
        watchdog_s: float | None = None,
        follow: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if overrun not in ("skip", "catch-up", "stop"):
            raise ValueError(f"overrun is skip, catch-up or stop, not {overrun!r}")
        if not rate_hz > 0:
            raise ValueError(f"rate_hz is above zero, not {rate_hz}")
        self.policy, self.period_s, self.overrun, self.follow = policy, 1.0 / rate_hz, overrun, follow
        self.watchdog_s = 10 * self.period_s if watchdog_s is None else watchdog_s
        self.safe_action = np.asarray(safe_action, np.float32)
        self._read, self._write, self._clock, self._sleep = read, write, clock, sleep
        self._lock, self._stop = threading.Lock(), threading.Event()
        self.counts = dict.fromkeys(
            (
                "periods",
                "missed",
                "skipped",
                "without_observation",
                "failed",
                "not_finite",
                "safe",
                "stalled",
            ),
            0,
        )
        self._took: list[float] = []
        self._started_late: list[float] = []
        self._alive = self._observed = 0.0
        self.last_error: str | None = None

    def stop(self) -> None:
        """Ends ``run`` after the period under way."""
        self._stop.set()

    def run(self, seconds: float | None = None, periods: int | None = None) -> dict[str, Any]:
        """Runs until ``stop``, or for so long; the safe action is the last that is written. Gives the statistics."""
        self._alive = self._observed = start = due = self._clock()
        guard = threading.Thread(target=self._guard, daemon=True)
        guard.start()
        try:
            while not self._stop.is_set():
                now = self._clock()
                if (seconds is not None and now - start >= seconds) or (
                    periods is not None and self.counts["periods"] >= periods
                ):
                    break
                if not self.follow and now < due:
                    self._sleep(due - now)
                due = self._period(due)
        finally:
            self._stop.set()
            guard.join()
            with self._lock:
                self._write(self.safe_action)
        return self.statistics()

    def _period(self, due: float) -> float:
        """One period; gives when the next is due."""
        observation = self._read(self.watchdog_s if self.follow else 0.0)
        begun = self._clock()
        self._alive = begun
        if self.follow:
            due = begun
        if observation is None:
            self.counts["without_observation"] += 1
            if begun - self._observed >= self.watchdog_s:
                self._safe()
            if self.follow:
                return begun
            self.counts["periods"] += 1
            return due + self.period_s
        self._observed = begun
        self._started_late.append(begun - due)
        try:
            action = self.policy.act(observation)
        except Exception as error:
            self.last_error = f"{type(error).__name__}: {error}"
            self.counts["failed"] += 1
            self._safe()
        else:
            if np.all(np.isfinite(np.asarray(action, np.float64))):
                with self._lock:
                    self._write(action)
            else:
                self.counts["not_finite"] += 1
                self._safe()
        ended = self._clock()
        self._alive = ended
        self.counts["periods"] += 1
        self._took.append(ended - begun)
        following = due + self.period_s
        if ended > following:
            self.counts["missed"] += 1
            if self.overrun == "stop":
                raise Overrun(f"a period of {self.period_s:g} s took {ended - due:g} s")
            if self.overrun == "skip" and not self.follow:
                behind = int((ended - following) / self.period_s) + 1
                self.counts["skipped"] += behind
                following += behind * self.period_s
        return following

    def _safe(self) -> None:
        self.counts["safe"] += 1
        with self._lock:
            self._write(self.safe_action)

    def _guard(self) -> None:
        """Writes the safe action while a period hangs."""
        while not self._stop.wait(self.watchdog_s / 4):
            if self._clock() - self._alive > 2 * self.watchdog_s:
                self.counts["stalled"] += 1
                self._safe()

    def statistics(self) -> dict[str, Any]:
        """Counts, and quantiles in seconds of how long periods took and how late they started."""
        found: dict[str, Any] = dict(self.counts)
        for name, values in (("took", self._took), ("started_late", self._started_late)):
            quantiles = np.quantile(values, [0.5, 0.99, 1.0]) if values else [None] * 3
            found.update(
                {
                    f"{name}_{q}_s": v if v is None else float(v)
                    for q, v in zip(("p50", "p99", "max"), quantiles)
                }
            )
        found["missed_share"] = self.counts["missed"] / max(1, self.counts["periods"])
        found["last_error"] = self.last_error
        return found
