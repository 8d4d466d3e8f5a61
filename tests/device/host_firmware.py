"""The firmware itself as a process of this machine, with sanitizers, behind a line that may be noisy."""

import os
import subprocess
import sys
from pathlib import Path

from secateur.export.firmware.image import common_sources
from secateur.export.read import read_tflite
from secateur.export.toolchain import WARNINGS, run_compiler, write_sources
from secateur.target.target import load_target

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "bench"))

from noisy_line import Noise, NoisyLine  # noqa: E402

TARGET = load_target("stm32f446re")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def build(model: bytes, folder: Path, cycles_hz: int | None = None) -> Path:
    """The program: requests on standard input, answers on standard output; with a counter where it has a rate."""
    files = common_sources(read_tflite(model), model, TARGET, "network")
    files["port_host.c"] = (HERE / "port_host.c").read_text()
    write_sources(files, folder)
    sources = sorted(path for path in files if path.endswith(".c"))
    counter = [f"-DCYCLES_HZ={cycles_hz}u"] if cycles_hz else []
    run_compiler(["cc", *SANITIZERS, "-O1", *WARNINGS, *counter, *sources, "-o", "board"], folder)
    return folder / "board"


class HostBoard:
    """A running board that can be reset: a process, and pipes that outlive it."""

    def __init__(self, program: Path, noise: Noise | None = None, seed: int = 0) -> None:
        self._program = program
        self._input, to_board = os.pipe()
        from_board, self._output = os.pipe()
        self._ends = (to_board, from_board)
        self._process = self._start()
        self.line = NoisyLine(noise or Noise(), seed, from_board, to_board)
        self.port = self.line.port

    def reset(self) -> None:
        """All that it knew is gone."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def close(self) -> int:
        """Its exit code: 0 unless a sanitizer found something."""
        self.line.close()
        for end in (*self._ends, self._input):
            os.close(end)
        code = self._process.wait()
        os.close(self._output)
        return code

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([self._program], stdin=self._input, stdout=self._output)
