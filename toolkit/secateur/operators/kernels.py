"""Every kernel there is, by name."""

from secateur.operators.add.kernel import ADD
from secateur.operators.batch_matmul.kernel import BATCH_MATMUL
from secateur.operators.clamp.kernel import CLAMP
from secateur.operators.compare.kernel import COMPARE
from secateur.operators.conv.kernel import CONV, CONV_HELIUM, CONV_WIDE
from secateur.operators.depthwise.kernel import DEPTHWISE, DEPTHWISE_3X3, DEPTHWISE_HELIUM
from secateur.operators.extreme.kernel import EXTREME
from secateur.operators.fill.kernel import FILL
from secateur.operators.fully_connected.kernel import FULLY_CONNECTED, FULLY_CONNECTED_HELIUM
from secateur.operators.kernel import Kernel
from secateur.operators.lookup.kernel import LOOKUP
from secateur.operators.mean.kernel import MEAN
from secateur.operators.move.kernel import MOVE
from secateur.operators.multiply.kernel import MULTIPLY
from secateur.operators.pool.kernel import AVERAGE_POOL, MAX_POOL
from secateur.operators.select.kernel import SELECT
from secateur.operators.softmax.kernel import SOFTMAX
from secateur.operators.squared_difference.kernel import SQUARED_DIFFERENCE

KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        FULLY_CONNECTED,
        FULLY_CONNECTED_HELIUM,
        CONV,
        CONV_WIDE,
        CONV_HELIUM,
        DEPTHWISE,
        DEPTHWISE_3X3,
        DEPTHWISE_HELIUM,
        AVERAGE_POOL,
        MAX_POOL,
        MEAN,
        SOFTMAX,
        ADD,
        MULTIPLY,
        SQUARED_DIFFERENCE,
        EXTREME,
        COMPARE,
        SELECT,
        BATCH_MATMUL,
        LOOKUP,
        CLAMP,
        MOVE,
        FILL,
    )
}
"""Kernel name → kernel."""
