"""What a run's report draws beside its summary: worked out once, while everything is loaded, and kept in its folder.

``figures.json`` has the component graph, what each operator takes, the arena's plan and the latency on every board;
``film.webp`` shows original and artifact. What cannot be had is left out with the reason, and fails no run.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secateur import stages
from secateur.device.devices import open_devices
from secateur.errors import SecateurError
from secateur.export.read import read_tflite
from secateur.graph.template import Template
from secateur.job import Job
from secateur.operators.lower import lower
from secateur.operators.program import Program
from secateur.pricing import price_on, price_on_computer
from secateur.records import Cost, Measurement, Widths
from secateur.report.film import film
from secateur.report.kept import FIGURES
from secateur.report.memory import memory_map
from secateur.report.operator_costs import operator_costs
from secateur.report.rates import Board, CostsOn, latency_by_board
from secateur.report.structure import describe
from secateur.runfolder import to_json, write_atomically
from secateur.simulate.controller import Controller, torch_controller
from secateur.target.computer import Computer
from secateur.target.schedule import late_periods
from secateur.target.step import calls_per_step
from secateur.verify.firmware import FirmwareController


def costs_on(job: Job, templates: Mapping[str, Template], dtype: str, widths: Widths) -> CostsOn:
    """Prices original and artifact on any board.

    Args:
        job: the run's.
        templates: part → its network at any widths, converted to ``dtype``.
        dtype: key of a computer's ``latency``.
        widths: of the artifact.
    """

    def priced(board: Board) -> tuple[Cost, Cost]:
        if isinstance(board, Computer):
            rate_hz = job.task.control_hz
            price = price_on_computer(templates, job.policy, job.parts, rate_hz, board, dtype)
        else:
            price = price_on(job, templates, board)
        return price({}), price(widths)

    return priced


def draw(
    job: Job,
    widths: Widths,
    costs: CostsOn,
    controllers: tuple[Controller, Controller],
    delay_s: float,
    to: Path,
    network: Mapping[str, Any] | None = None,
) -> None:
    """Writes ``figures.json``, and the film where there is one.

    Args:
        job: the run's.
        widths: that the policy was pruned to.
        costs: of the original and of the artifact, on any board.
        controllers: of the original and of the artifact.
        delay_s: of the artifact's actions, s.
        to: folder.
        network: ``arenas`` and ``operators`` of generated C, where there is some.
    """
    left_out: dict[str, str] = {}
    made: dict[str, Any] = dict(network or {})
    if not made:
        left_out["memory"] = left_out["operators"] = "no C was generated: the target runs .tflite files"
    made["graph"] = describe(job.policy, job.graph, job.task.control_hz, widths=widths)
    made["boards"] = latency_by_board(costs, job.target)
    try:
        made["film"] = asdict(film(job.task, *controllers, job.seeds("verdict", 1)[0], delay_s, to))
    except SecateurError as error:
        left_out["film"] = str(error)
    write_atomically(to / FIGURES, to_json({"schema": 1, **made, "left_out": left_out}))


def draw_for_board(
    job: Job, templates: Mapping[str, Template], widths: Widths, exported: Path, measured: Path, to: Path
) -> None:
    """The same of a run for a microcontroller, the firmware at the controls of the film.

    Args:
        job: the run's.
        templates: part → its network, by widths.
        widths: that the policy was pruned to.
        exported: stage with the int8 .tflite of every part.
        measured: stage with ``measurement.json``.
        to: folder.
    """
    seen, models = stages.measurement_of(measured), stages.int8_models(job.parts, exported)
    programs = {name: lower(read_tflite(model), job.board.choice) for name, model in models.items()}
    costs = costs_on(job, templates, "int8", widths)
    late = late_periods(seen.parts, job.parts, job.task.control_hz)
    with open_devices("emulator", models, job.parts, job.board, to / "build") as devices:
        firmware = FirmwareController(devices, job.task, job.parts, late)
        controllers = (torch_controller(job.policy, job.task), firmware)
        network = _network(job, templates, programs, seen)
        draw(job, widths, costs, controllers, stages.worst_latency_s(seen), to, network)


def _network(
    job: Job, templates: Mapping[str, Template], programs: Mapping[str, Program], seen: Measurement
) -> dict[str, Any]:
    """``arenas`` and ``operators``, of each part in turn."""
    arenas: list[dict[str, Any]] = []
    operators: list[dict[str, Any]] = []
    for name, program in programs.items():
        before = f"{name}: " if len(programs) > 1 else ""
        owners = templates[name].components
        alike = len(program.network.operators) == len(owners)
        components = {step.label: owners[step.operators[0]] for step in program.steps} if alike else {}
        times = calls_per_step(job.policy, name)
        counted = {
            label.removeprefix(before): count
            for label, count in seen.operator_instructions.items()
            if label.startswith(before)
        }
        rows = operator_costs(program, job.board, components, counted, times)
        operators += [row | {"label": before + row["label"]} for row in rows]
        arenas.append({"part": name if before else "", **memory_map(program)})
    return {"arenas": arenas, "operators": operators}
