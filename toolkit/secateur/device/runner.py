"""Times .tflite files on the computer that it is started on. Needs numpy and a TFLite runtime, and no other file.

Copied to devices as it is, so it keeps to Python 3.7 and its standard library. ``python3 runner.py job.json`` prints
lines ``SECATEUR {...}``: progress, then one result or one error. Every model runs in a process of its own.
"""

from __future__ import annotations

import base64
import glob
import hashlib
import json
import os
import platform
import resource
import struct
import subprocess
import sys
import time
from typing import Any

PROTOCOL = 1
_BATCH = 100
_Z = {0.9: 1.645, 0.95: 1.96, 0.99: 2.576}


def say(kind: str, value: Any) -> None:
    """One line of the protocol."""
    sys.stdout.write("SECATEUR " + json.dumps({kind: value}) + "\n")
    sys.stdout.flush()


class Missing(Exception):
    """Something that the runner needs is not there: what, and in which words."""


def load_runtime() -> tuple[Any, str, str | None]:
    """The interpreter's class, and name and version of its library."""
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise Missing("numpy", str(error)) from error
    problems = []
    for module in ("ai_edge_litert", "tflite_runtime"):
        try:
            found = __import__(module + ".interpreter", fromlist=["Interpreter"])
        except ImportError as error:
            problems.append(str(error))
            continue
        package = __import__(module)
        return found.Interpreter, module, getattr(package, "__version__", None) or _version(module)
    raise Missing("runtime", "; ".join(problems))


def _version(module: str) -> str | None:
    try:
        from importlib.metadata import version

        return version(module.replace("_", "-"))
    except Exception:
        return None


def read(path: str) -> str | None:
    """A small file's text without the blanks around it; None where it cannot be read."""
    try:
        with open(path) as stream:
            return stream.read().strip()
    except (OSError, UnicodeDecodeError):
        return None


def state() -> dict[str, Any]:
    """Temperature, clock and throttling at this moment; None for what the system does not tell."""
    temperatures = [read(path) for path in glob.glob("/sys/class/thermal/thermal_zone*/temp")]
    values = [int(text) / 1000.0 for text in temperatures if text and text.lstrip("-").isdigit()]
    clock = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    counts = [read(p) for p in glob.glob("/sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")]
    known = [int(text) for text in counts if text and text.isdigit()]
    return {
        "temperature_c": max(values) if values else None,
        "clock_hz": int(clock) * 1000 if clock and clock.isdigit() else None,
        "flags": firmware_flags(),
        "events": sum(known) if known else None,
        "load": os.getloadavg()[0],
    }


def firmware_flags() -> int | None:
    """The Raspberry Pi firmware's bits: 0 under-voltage, 1 capped, 2 throttled, 3 soft limit; 16 up: since boot."""
    text = read("/sys/devices/platform/soc/soc:firmware/get_throttled")
    if text is None:
        try:
            done = subprocess.run(
                ["vcgencmd", "get_throttled"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5
            )
            text = done.stdout.decode("utf-8", "replace").strip()
        except (OSError, subprocess.SubprocessError):
            return None
    try:
        return int(text.split("=")[-1], 16)
    except ValueError:
        return None


def throttled(before: dict[str, Any], after: dict[str, Any]) -> bool | None:
    """True where the device was slowed down meanwhile, False where it was not, None where nobody knows."""
    answers = []
    if before["flags"] is not None and after["flags"] is not None:
        answers.append(
            bool((before["flags"] | after["flags"]) & 0xF or (after["flags"] & ~before["flags"]) >> 16)
        )
    if before["events"] is not None and after["events"] is not None:
        answers.append(after["events"] > before["events"])
    return any(answers) if answers else None


def machine() -> dict[str, Any]:
    """What the computer is."""
    model = read("/proc/device-tree/model")
    names = [
        line.split(":", 1)[1].strip()
        for line in (read("/proc/cpuinfo") or "").splitlines()
        if line.split(":")[0].strip() in ("model name", "Model") and ":" in line
    ]
    return {
        "model": model.strip("\0") if model else None,
        "cpu": names[0] if names else None,
        "architecture": platform.machine(),
        "bits": 8 * struct.calcsize("P"),
        "cores": os.cpu_count(),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


class Network:
    """A signature of a model, ready to be called on stored values."""

    def __init__(self, interpreter_class: Any, path: str, signature: str | None, threads: int) -> None:
        self.interpreter = interpreter_class(model_path=path, num_threads=threads)
        self.interpreter.allocate_tensors()
        signatures = self.interpreter.get_signature_list()
        self.runner = None
        if signatures:
            runner = self.interpreter.get_signature_runner(signature or sorted(signatures)[0])
            taken, given = runner.get_input_details(), runner.get_output_details()
            if len(signatures) > 1:  # the plain interface reaches the first subgraph only
                self.runner = runner
            del runner  # as long as one is there, the plain interface refuses to work
        else:
            taken = {d["name"]: d for d in self.interpreter.get_input_details()}
            given = {d["name"]: d for d in self.interpreter.get_output_details()}
        self.inputs, self.outputs = taken, given

    def call(self, values: dict[str, Any]) -> tuple[dict[str, Any], float, float | None]:
        """Name → array; gives outputs, seconds of all of it, and seconds of the computation alone."""
        start = time.perf_counter()
        if self.runner is not None:
            answer = self.runner(**values)
            return answer, time.perf_counter() - start, None
        for name, details in self.inputs.items():
            self.interpreter.set_tensor(details["index"], values[name])
        middle = time.perf_counter()
        self.interpreter.invoke()
        end = time.perf_counter()
        answer = {name: self.interpreter.get_tensor(d["index"]) for name, d in self.outputs.items()}
        return answer, time.perf_counter() - start, end - middle


def settled(times: list[float], job: dict[str, Any]) -> float:
    """Whether the median is known: half the width of its interval over itself, by order statistics."""
    ordered, count = sorted(times), len(times)
    reach = _Z[job["confidence"]] * count**0.5 / 2
    low, high = ordered[max(0, int(count / 2 - reach))], ordered[min(count - 1, int(count / 2 + reach))]
    return (high - low) / 2 / ordered[count // 2]


def summary(times: list[float]) -> dict[str, float]:
    """Quantiles in seconds; ``quiet_s`` is the least median of a hundred calls on end, when nothing else ran."""
    ordered, count = sorted(times), len(times)

    def quantile(share: float) -> float:
        return ordered[min(count - 1, int(share * count))]

    p50, p99 = quantile(0.5), quantile(0.99)
    batches = [sorted(times[i : i + _BATCH])[_BATCH // 2] for i in range(0, count - _BATCH + 1, _BATCH)]
    return {
        "p50_s": p50,
        "p90_s": quantile(0.9),
        "p99_s": p99,
        "max_s": ordered[-1],
        "min_s": ordered[0],
        "mean_s": sum(times) / count,
        "jitter_s": p99 - p50,
        "quiet_s": min(batches),
    }


def run_one(job: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """Times one model; the process is its own, so that memory and start are its own too."""
    interpreter_class, library, version = load_runtime()
    import numpy

    folder = os.path.dirname(os.path.abspath(__file__))
    network = Network(
        interpreter_class, os.path.join(folder, model["file"]), model["signature"], job["threads"]
    )
    arrays = dict(numpy.load(os.path.join(folder, model["inputs"])).items())
    rows = range(len(next(iter(arrays.values()))))
    calls = [{n: a[i].reshape(network.inputs[n]["shape"]) for n, a in arrays.items()} for i in rows]
    first, _, _ = network.call(calls[0])
    ready = time.monotonic()
    answers = [first] + [network.call(values)[0] for values in calls[1:]]
    end = time.monotonic() + job["warmup_s"]
    count = 0
    while time.monotonic() < end or count < 10:
        network.call(calls[count % len(calls)])
        count += 1
    whole, alone, width = [], [], float("inf")
    end = time.monotonic() + job["max_s"]
    while True:
        for index in range(_BATCH):
            _, took, computed = network.call(calls[index % len(calls)])
            whole.append(took)
            if computed is not None:
                alone.append(computed)
        width = settled(whole, job)
        enough = len(whole) >= job["min_calls"] and width <= job["half_width"]
        if enough or len(whole) >= job["max_calls"] or time.monotonic() > end:
            break
    return {
        "name": model["name"],
        "ready": ready,
        "calls": len(whole),
        "half_width": width,
        "settled": width <= job["half_width"],
        "call": summary(whole),
        "invoke": summary(alone) if alone else None,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "library": library,
        "library_version": version,
        "outputs": [{n: base64.b64encode(v.tobytes()).decode() for n, v in a.items()} for a in answers],
    }


def run(job: dict[str, Any], path: str) -> dict[str, Any]:
    """All models, one after the other; the document of the result."""
    with open(os.path.abspath(__file__), "rb") as stream:
        own = hashlib.sha256(stream.read()).hexdigest()
    if job["protocol"] != PROTOCOL or job["runner_sha256"] != own:
        raise Missing("stale", f"protocol {PROTOCOL}, sha256 {own[:12]}")
    load_runtime()
    before, results = state(), []
    for index, model in enumerate(job["models"]):
        say("progress", {"done": index, "of": len(job["models"]), "name": model["name"]})
        start = time.monotonic()
        command = [sys.executable, os.path.abspath(__file__), path, str(index)]
        done = subprocess.run(command, capture_output=True)
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        found = [json.loads(line[9:]) for line in lines if line.startswith("SECATEUR ")]
        if not found:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise Missing("crash", f"{model['name']}: exit {done.returncode}, {said[-1] if said else ''}")
        if "error" in found[-1]:
            raise Missing(*found[-1]["error"])
        result = found[-1]["one"]
        result["cold_start_s"] = result.pop("ready") - start
        results.append(result)
    after = state()
    return {
        "machine": machine(),
        "threads": job["threads"],
        "before": before,
        "after": after,
        "throttled": throttled(before, after),
        "models": results,
    }


def main(arguments: list[str]) -> int:
    """Command line: a job, and with a number the one model of it."""
    with open(arguments[0]) as stream:
        job = json.load(stream)
    try:
        if len(arguments) > 1:
            say("one", run_one(job, job["models"][int(arguments[1])]))
        else:
            say("result", run(job, arguments[0]))
    except Missing as missing:
        say("error", list(missing.args))
        return 1
    except Exception as error:
        say("error", ["failed", f"{type(error).__name__}: {error}"])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
