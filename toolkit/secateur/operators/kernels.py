"""Every kernel there is, by name."""

from secateur.operators.add.kernel import ADD, ADD_16, ADD_HELIUM
from secateur.operators.arithmetic.kernel import PAIR_FLOAT
from secateur.operators.batch_matmul.kernel import BATCH_MATMUL, BATCH_MATMUL_16, BATCH_MATMUL_FLOAT
from secateur.operators.clamp.kernel import CLAMP
from secateur.operators.compare.kernel import COMPARE, COMPARE_FLOAT
from secateur.operators.conv.kernel import CONV, CONV_HELIUM, CONV_WIDE
from secateur.operators.conv.kernel_16 import CONV_16, DEPTHWISE_16
from secateur.operators.curve.kernel import CONVERT_FLOAT, CURVE_FLOAT, SERIES_FLOAT
from secateur.operators.depthwise.kernel import DEPTHWISE, DEPTHWISE_3X3, DEPTHWISE_HELIUM, DEPTHWISE_ROWS
from secateur.operators.divide.kernel import DIVIDE
from secateur.operators.extreme.kernel import EXTREME, EXTREME_16
from secateur.operators.fill.kernel import FILL
from secateur.operators.fully_connected.kernel import FULLY_CONNECTED, FULLY_CONNECTED_HELIUM
from secateur.operators.fully_connected.kernel_16 import FULLY_CONNECTED_16
from secateur.operators.kernel import Kernel
from secateur.operators.layer_float import CONV_FLOAT, DEPTHWISE_FLOAT, FULLY_CONNECTED_FLOAT
from secateur.operators.lookup.kernel import LOOKUP
from secateur.operators.mean.kernel import MEAN, MEAN_16, MEAN_FLOAT
from secateur.operators.move.kernel import MOVE
from secateur.operators.multiply.kernel import MULTIPLY, MULTIPLY_16, MULTIPLY_HELIUM
from secateur.operators.patch.kernel import PATCH_READ, PATCH_WRITE
from secateur.operators.pool.kernel import (
    AVERAGE_POOL,
    AVERAGE_POOL_HELIUM,
    MAX_POOL,
    MAX_POOL_HELIUM,
    POOL_16,
    POOL_FLOAT,
)
from secateur.operators.rescale.kernel import RESCALE
from secateur.operators.rsqrt.kernel import RSQRT_16
from secateur.operators.select.kernel import SELECT, SELECT_WIDE
from secateur.operators.sigmoid.kernel import SIGMOID_16
from secateur.operators.softmax.kernel import SOFTMAX, SOFTMAX_16, SOFTMAX_FLOAT
from secateur.operators.squared_difference.kernel import SQUARED_DIFFERENCE, SQUARED_DIFFERENCE_16

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
        DEPTHWISE_ROWS,
        DEPTHWISE_HELIUM,
        AVERAGE_POOL,
        MAX_POOL,
        AVERAGE_POOL_HELIUM,
        MAX_POOL_HELIUM,
        MEAN,
        SOFTMAX,
        ADD,
        ADD_HELIUM,
        MULTIPLY,
        MULTIPLY_HELIUM,
        SQUARED_DIFFERENCE,
        DIVIDE,
        EXTREME,
        COMPARE,
        SELECT,
        BATCH_MATMUL,
        LOOKUP,
        CLAMP,
        MOVE,
        FILL,
        PATCH_READ,
        PATCH_WRITE,
        FULLY_CONNECTED_16,
        ADD_16,
        MULTIPLY_16,
        EXTREME_16,
        SIGMOID_16,
        RESCALE,
        CONV_16,
        DEPTHWISE_16,
        POOL_16,
        MEAN_16,
        SOFTMAX_16,
        SQUARED_DIFFERENCE_16,
        RSQRT_16,
        BATCH_MATMUL_16,
        SELECT_WIDE,
        FULLY_CONNECTED_FLOAT,
        CONV_FLOAT,
        DEPTHWISE_FLOAT,
        POOL_FLOAT,
        MEAN_FLOAT,
        SOFTMAX_FLOAT,
        PAIR_FLOAT,
        CURVE_FLOAT,
        CONVERT_FLOAT,
        SERIES_FLOAT,
        COMPARE_FLOAT,
        BATCH_MATMUL_FLOAT,
    )
}
"""Kernel name → kernel."""
