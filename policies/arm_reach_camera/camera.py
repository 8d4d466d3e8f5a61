"""One camera of one model, drawn without a screen."""

import os
import sys
from typing import Any

import mujoco
import numpy as np

from secateur.errors import SecateurError

SCENE_GEOMS = 64
LEAST_SPREAD = 2.0
"""Standard deviation of a frame's values [0–255] below which nothing was drawn."""


class Camera:
    """Draws ``size`` × ``size`` frames of a camera that the model has by name.

    Several are alive at once, each with an OpenGL context of its own, made current whenever it is used. Contexts number
    what they hold alike; drawing or freeing with another's context current is how frames turn black.

    Args:
        model: its colours, lights and camera are read anew for every frame.
        name: of the camera.
        size: of a side, in pixels.

    Raises:
        SecateurError: no OpenGL library for drawing without a screen.
    """

    def __init__(self, model: mujoco.MjModel, name: str, size: int) -> None:
        self._gl: Any = None
        self._context: Any = None
        self._model = model
        self._size = size
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        self._gl = _context(size)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, SCENE_GEOMS)
        for flag in ("SHADOW", "REFLECTION", "SKYBOX", "HAZE", "FOG"):
            self._scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
        self._option = mujoco.MjvOption()
        self._rect = mujoco.MjrRect(0, 0, size, size)
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = model.camera(name).id

    def frame(self, data: mujoco.MjData) -> np.ndarray:
        """``[size, size, 3]`` uint8, red, green and blue, the first row on top.

        Raises:
            SecateurError: all of it is one colour.
        """
        pixels = np.empty((self._size, self._size, 3), np.uint8)
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, self._rect, self._context)
        require_picture(pixels)
        return pixels[::-1].copy()

    def close(self) -> None:
        """Frees what was drawn with. Further calls do nothing."""
        if self._gl is not None:
            gl, self._gl = self._gl, None
            gl.make_current()
            if self._context is not None:
                self._context.free()
            gl.free()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()


def require_picture(pixels: np.ndarray) -> None:
    """Raises SecateurError where a frame does not vary: a renderer that has lost its context draws black."""
    if (spread := float(pixels.std())) < LEAST_SPREAD:
        raise SecateurError(
            "a frame of the camera varies",
            f"all is {pixels.reshape(-1, 3)[0].tolist()} within {spread:.1f} of 255",
            "Make the environment anew; close no other renderer's OpenGL context while this one draws.",
        )


def _context(size: int) -> Any:
    """An OpenGL context of the kind that MUJOCO_GL asks for; OSMesa, which needs neither screen nor GPU, if unset."""
    kind = os.environ.get("MUJOCO_GL", "osmesa").strip().lower()
    try:
        if kind == "egl":
            from mujoco.egl import GLContext
        elif kind in ("glfw", "glx", ""):
            from mujoco.glfw import GLContext
        else:
            from mujoco.osmesa import GLContext
        return GLContext(size, size)
    except Exception as error:  # a missing library shows as ImportError, AttributeError, OSError, …
        raise SecateurError(
            "camera frames are drawn by OpenGL without a screen",
            f"MUJOCO_GL={kind}: {type(error).__name__}: {error}",
            "Install libosmesa6 (Debian, Ubuntu), or set MUJOCO_GL=egl before Python starts.",
        ) from error
