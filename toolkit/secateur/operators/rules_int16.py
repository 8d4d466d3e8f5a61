"""Operator kind → its rule where activations are int16."""

from collections.abc import Callable

from secateur.operators.add.rule import lower_add_16
from secateur.operators.batch_matmul.rule import lower_batch_matmul_16
from secateur.operators.broadcast.rule import lower_broadcast
from secateur.operators.compare.rule import ANSWERS
from secateur.operators.concatenation.rule import lower_concatenation, lower_pack
from secateur.operators.conv.rule_other_types import lower_conv_16, lower_depthwise_16
from secateur.operators.curve.rule import lower_conversion
from secateur.operators.extreme.rule import lower_extreme_16
from secateur.operators.fully_connected.rule_other_types import lower_fully_connected_16
from secateur.operators.lowering import Lowering
from secateur.operators.mean.rule import lower_mean_16
from secateur.operators.multiply.rule import lower_multiply_16
from secateur.operators.pad.rule import lower_pad
from secateur.operators.pool.rule import lower_pool_16
from secateur.operators.rescale.rule import lower_rescale
from secateur.operators.reshape.rule import lower_reshape
from secateur.operators.rsqrt.rule import lower_rsqrt_16
from secateur.operators.select.rule import lower_select
from secateur.operators.sigmoid.rule import lower_sigmoid
from secateur.operators.slice.rule import lower_slice
from secateur.operators.softmax.rule import lower_softmax_16
from secateur.operators.split.rule import lower_split, lower_unpack
from secateur.operators.squared_difference.rule import lower_squared_difference_16
from secateur.operators.transpose.rule import lower_transpose

MOVED: dict[str, Callable[[Lowering, int], None]] = {
    "BROADCAST_TO": lower_broadcast,
    "CONCATENATION": lower_concatenation,
    "EXPAND_DIMS": lower_reshape,
    "PACK": lower_pack,
    "PAD": lower_pad,
    "PADV2": lower_pad,
    "RESHAPE": lower_reshape,
    "SELECT_V2": lower_select,
    "SLICE": lower_slice,
    "SPLIT": lower_split,
    "SPLIT_V": lower_split,
    "SQUEEZE": lower_reshape,
    "STRIDED_SLICE": lower_slice,
    "TRANSPOSE": lower_transpose,
    "UNPACK": lower_unpack,
}
"""Operators that move values and change none, of any type."""

RULES_INT16: dict[str, Callable[[Lowering, int], None]] = {
    **MOVED,
    "ABS": lower_rescale,
    "ADD": lower_add_16,
    "AVERAGE_POOL_2D": lower_pool_16,
    "BATCH_MATMUL": lower_batch_matmul_16,
    "CONV_2D": lower_conv_16,
    "DEQUANTIZE": lower_conversion,
    "DEPTHWISE_CONV_2D": lower_depthwise_16,
    "FULLY_CONNECTED": lower_fully_connected_16,
    "LEAKY_RELU": lower_rescale,
    "LOGISTIC": lower_sigmoid,
    "MAXIMUM": lower_extreme_16,
    "MAX_POOL_2D": lower_pool_16,
    "MEAN": lower_mean_16,
    "MINIMUM": lower_extreme_16,
    "MUL": lower_multiply_16,
    "QUANTIZE": lower_rescale,
    "RELU": lower_rescale,
    "RELU6": lower_rescale,
    "RSQRT": lower_rsqrt_16,
    "SOFTMAX": lower_softmax_16,
    "SQUARED_DIFFERENCE": lower_squared_difference_16,
    "SUB": lower_add_16,
    "SUM": lower_mean_16,
    "TANH": lower_sigmoid,
}
"""Int16 activations, int8 weights."""

TFLM_LACKS_INT16 = (
    *sorted(ANSWERS),
    *("COS", "DIV", "ELU", "EXP", "FLOOR", "HARD_SWISH", "LOG", "NEG", "SIN", "SQRT", "SQUARE"),
)
"""Operators of other types that TFLM does not run on int16 either: there is nothing to be equal to.

It takes a GREATER, says that all is well, and writes nothing.
"""
