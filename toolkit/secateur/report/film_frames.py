"""The process that draws a film: recorded states → an animated WebP, and a strip of stills for paper.

``python -m secateur.report.film_frames WORK TO``, with ``model.mjb`` and ``states.npz`` in WORK.
"""

import os
import sys
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 216, 288
"""Pixels of each of the two pictures."""
MOST_FRAMES, SLOWEST_HZ, STILLS = 120, 12.5, 6
MOST_BYTES = 3_500_000
QUALITIES = (70, 40, 15)


def main(work: Path, to: Path) -> None:
    """Draws every so many states of both episodes beside each other, and writes both files."""
    states = np.load(work / "states.npz", allow_pickle=False)
    model = mujoco.MjModel.from_binary_path(str(work / "model.mjb"))
    hz, length = float(states["control_hz"]), max(len(states[f"{n}_qpos"]) for n in ("baseline", "artifact"))
    every = max(1, round(hz / SLOWEST_HZ), -(-length // MOST_FRAMES))
    frames = _frames(model, states, range(0, length, every))
    if not np.ptp(np.asarray(frames[0])):
        sys.exit("every pixel is the same: this OpenGL draws nothing")
    for quality in QUALITIES:
        _save(frames, to / "film.webp", quality, round(1000 * every / hz))
        if (to / "film.webp").stat().st_size <= MOST_BYTES:
            break
    picked = [frames[round(place)] for place in np.linspace(0, len(frames) - 1, min(STILLS, len(frames)))]
    strip = Image.new("RGB", (4 * WIDTH, HEIGHT * -(-len(picked) // 2)))
    for place, frame in enumerate(picked):
        strip.paste(frame, (place % 2 * 2 * WIDTH, place // 2 * HEIGHT))
    strip.save(to / "film_still.webp", quality=60)


def _frames(model: mujoco.MjModel, states: np.lib.npyio.NpzFile, steps: range) -> list[Image.Image]:
    model.vis.quality.offsamples = 0
    model.vis.global_.offwidth = max(model.vis.global_.offwidth, WIDTH)
    model.vis.global_.offheight = max(model.vis.global_.offheight, HEIGHT)
    data, frames, parent = mujoco.MjData(model), [], os.getppid()
    camera = 0 if model.ncam else -1
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            renderer.scene.flags[flag] = False  # what takes longest without a graphics card
        for step in steps:
            if os.getppid() != parent:
                sys.exit("nobody waits for the film any longer")
            both = []
            for name in ("baseline", "artifact"):
                at = min(step, len(states[f"{name}_qpos"]) - 1)  # an episode that is over stands still
                for part in ("qpos", "mocap_pos", "mocap_quat"):
                    getattr(data, part)[:] = states[f"{name}_{part}"][at]
                mujoco.mj_forward(model, data)
                renderer.update_scene(data, camera)
                both.append(renderer.render().copy())
            frames.append(Image.fromarray(np.concatenate(both, axis=1)))
    return frames


def _save(frames: list[Image.Image], path: Path, quality: int, duration_ms: int) -> None:
    """An animated WebP that begins again at its end."""
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=max(20, duration_ms),
        loop=0,
        quality=quality,
        method=2,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
