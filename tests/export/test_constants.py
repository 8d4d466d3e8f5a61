"""What depends on no input is computed once, where the model grows no larger by that."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tflite_networks import Writer

from secateur.export.constants import fold_constants
from secateur.export.read import read_tflite


def product(shared):
    """(two numbers as a row · two as a column) + the input, [2, 2]; the numbers are of one buffer or of two."""
    writer, values = Writer(), np.array([2.0, 3.0])
    row, column = (
        writer.tensor(name, shape, "float32", data=values) for name, shape in (("r", (1, 2)), ("c", (2, 1)))
    )
    if shared:
        writer.tensors[column].buffer = writer.tensors[row].buffer
        writer.buffers.pop()
    source, square, result = (writer.tensor(name, (2, 2), "float32") for name in ("in", "square", "out"))
    writer.operator("MUL", [row, column], [square], "MulOptions")
    writer.operator("ADD", [source, square], [result], "AddOptions")
    return writer.finish([source], [result])


def answer(model):
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ones((2, 2), np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("shared", [False, True])
def test_constants_are_folded_where_they_take_no_more_room(shared):
    """Of a buffer that two tensors share, as signatures of one model share weights, nothing is gained twice."""
    model = product(shared)
    folded = fold_constants(model)
    kinds = [operator.kind for operator in read_tflite(folded).operators]
    assert kinds == (["MUL", "ADD"] if shared else ["ADD"])
    assert len(folded) <= len(model)
    np.testing.assert_array_equal(answer(folded), [[5, 7], [7, 10]])
    assert fold_constants(folded) == folded
