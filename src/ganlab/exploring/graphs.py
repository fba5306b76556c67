"""ONNX graphs for one image: simplified, measured, rounded to half the size."""

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

Graph: TypeAlias = "ModelProto"
SMALL = 256  # numbers: what has no more of them stays in float32


def simplified(onnx: bytes) -> Graph:
    """The graph for one row: its shapes are known, and what is constant is computed.

    ONNX Runtime does it, and uses operators of ONNX alone.
    """
    import onnxruntime
    from onnx import load, shape_inference

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_free_dimension_override_by_name("n", 1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "simplified.onnx"
        options.optimized_model_filepath = str(file)
        onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        return shape_inference.infer_shapes(load(file))


def shapes_of(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The shape of each value of a simplified graph, by name."""
    parts = graph.graph
    shapes = {one.name: tuple(one.dims) for one in parts.initializer}
    for one in (*parts.value_info, *parts.input, *parts.output):
        shapes[one.name] = tuple(side.dim_value for side in one.type.tensor_type.shape.dim)
    return shapes


def multiplications(graph: Graph) -> int:
    """Of one run of a simplified graph, in convolutions and matrix products."""
    shapes, total = shapes_of(graph), 0
    for node in graph.graph.node:
        if node.op_type == "Conv":
            each = shapes[node.input[1]][1:]
            total += math.prod(shapes[node.output[0]]) * math.prod(each)
        elif node.op_type == "ConvTranspose":
            each = shapes[node.input[1]][1:]
            total += math.prod(shapes[node.input[0]]) * math.prod(each)
        elif node.op_type in ("Gemm", "MatMul"):
            total += math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return total


def rounded(onnx: bytes) -> bytes:
    """The model with weights that float16 can hold, still in float32."""
    from onnx import ModelProto, numpy_helper

    model = ModelProto.FromString(onnx)
    for weight in weights_of(model):
        values = numpy_helper.to_array(weight).astype(np.float16).astype(np.float32)
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return model.SerializeToString()


def halved(graph: Graph) -> Graph:
    """A graph that stores its weights in float16 and begins by making them float32."""
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    model, casts = ModelProto.FromString(graph.SerializeToString()), []
    for weight in weights_of(model):
        name = f"{weight.name}/float16"
        casts.append(helper.make_node("Cast", [name], [weight.name], to=TensorProto.FLOAT))
        values = numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(numpy_helper.from_array(values, name))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def weights_of(model: Graph) -> list["TensorProto"]:
    """The large constants in float32."""
    from onnx import TensorProto

    return [
        one
        for one in model.graph.initializer
        if one.data_type == TensorProto.FLOAT and math.prod(one.dims) > SMALL
    ]
