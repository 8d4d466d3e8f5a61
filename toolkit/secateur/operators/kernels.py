"""Every kernel there is, by name."""

from secateur.operators.clamp.kernel import CLAMP
from secateur.operators.fully_connected.kernel import FULLY_CONNECTED
from secateur.operators.kernel import Kernel
from secateur.operators.lookup.kernel import LOOKUP

KERNELS: dict[str, Kernel] = {kernel.name: kernel for kernel in (FULLY_CONNECTED, LOOKUP, CLAMP)}
"""Kernel name → kernel."""
