"""Operator kind → its rule where activations are float32."""

from collections.abc import Callable

from secateur.operators.arithmetic.rule import ARITHMETIC, lower_arithmetic
from secateur.operators.batch_matmul.rule import lower_batch_matmul_float
from secateur.operators.compare.rule import ANSWERS, lower_compare_float
from secateur.operators.conv.rule_other_types import lower_conv_float, lower_depthwise_float
from secateur.operators.curve.rule import CURVES, SERIES, lower_conversion, lower_curve
from secateur.operators.fully_connected.rule_other_types import lower_fully_connected_float
from secateur.operators.lowering import Lowering
from secateur.operators.mean.rule import lower_mean_float
from secateur.operators.pool.rule import lower_pool_float
from secateur.operators.rules_int16 import MOVED
from secateur.operators.softmax.rule import lower_softmax_float

RULES_FLOAT32: dict[str, Callable[[Lowering, int], None]] = {
    **MOVED,
    **dict.fromkeys(ARITHMETIC, lower_arithmetic),
    **dict.fromkeys(sorted(ANSWERS), lower_compare_float),
    **dict.fromkeys((*CURVES, *SERIES), lower_curve),
    "AVERAGE_POOL_2D": lower_pool_float,
    "BATCH_MATMUL": lower_batch_matmul_float,
    "CONV_2D": lower_conv_float,
    "DEPTHWISE_CONV_2D": lower_depthwise_float,
    "FULLY_CONNECTED": lower_fully_connected_float,
    "MAX_POOL_2D": lower_pool_float,
    "MEAN": lower_mean_float,
    "QUANTIZE": lower_conversion,
    "SOFTMAX": lower_softmax_float,
    "SUM": lower_mean_float,
}
"""Float32 activations and weights."""
