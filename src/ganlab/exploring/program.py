"""A graph as a list of steps that a page takes with plain loops, and their weights in one array.

An image is stored with its channels last: (H, W, C).  So the sums of a convolution run over numbers
that lie side by side.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ganlab.exploring import layout
from ganlab.exploring.graphs import Graph, shapes_of

if TYPE_CHECKING:
    from onnx import NodeProto

Step = dict[str, Any]
MAPS = {  # operators that act on each number by itself -> what kernels.js calls them
    "Relu": "relu",
    "LeakyRelu": "leaky",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Clip": "clip",
    "Add": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Div": "divide",
    "Greater": "greater",
    "Where": "where",
}


class UnsupportedError(Exception):
    """Plain loops cannot run a graph.

    Args:
        operators: that are unknown, or are used in a way that is.
    """

    def __init__(self, operators: list[str]) -> None:
        self.operators = operators
        super().__init__(", ".join(operators))


class Program(NamedTuple):
    """Steps, and their numbers.

    Args:
        steps: plain data; kernels.js says what each does.
        sizes: of all values, in numbers; a step names values by their place here.
        places: where a constant begins in `weights`, by value; -1: it is computed.
        input, output: values.
        weights: float32, all constants one after the other.
    """

    steps: list[Step]
    sizes: list[int]
    places: list[int]
    input: int
    output: int
    weights: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Plain data without the weights."""
        return {name: value for name, value in self._asdict().items() if name != "weights"}


def program_of(graph: Graph) -> Program:
    """The program of a simplified graph.

    Raises:
        UnsupportedError: it has an operator that no step does.
    """
    if unknown := sorted({one.op_type for one in graph.graph.node} - TRANSLATED.keys()):
        raise UnsupportedError(unknown)
    writer = Writer(graph)
    for node in graph.graph.node:
        TRANSLATED[node.op_type](writer, node)
    return writer.program()


class Writer:
    """Writes a program, node by node.

    Args:
        graph: simplified.
    """

    def __init__(self, graph: Graph) -> None:
        from onnx import numpy_helper

        self.shapes, self.ends = shapes_of(graph), graph.graph
        self.constants = {one.name: numpy_helper.to_array(one) for one in graph.graph.initializer}
        self.known: dict[str, int] = {}  # values by their name in the graph
        self.steps: list[Step] = []
        self.sizes: list[int] = []
        self.places: list[int] = []
        self.weights: list[np.ndarray] = []
        self.input = self.value(self.ends.input[0].name)

    def program(self) -> Program:
        """What has been written."""
        output = self.known[self.ends.output[0].name]
        weights = np.concatenate([*self.weights, np.zeros(0, np.float32)])
        return Program(self.steps, self.sizes, self.places, self.input, output, weights)

    def room(self, size: int, place: int = -1) -> int:
        """A new value."""
        self.sizes.append(size)
        self.places.append(place)
        return len(self.sizes) - 1

    def value(self, name: str) -> int:
        """The value of that name, which a step computes."""
        if name not in self.known:
            self.known[name] = self.room(int(np.prod(self.shapes[name])))
        return self.known[name]

    def constant(self, numbers: np.ndarray) -> int:
        """The value of a constant, stored in this order."""
        flat = np.ascontiguousarray(numbers, np.float32).ravel()
        place = sum(map(len, self.weights))
        self.weights.append(flat)
        return self.room(len(flat), place)

    def step(self, do: str, y: int, *x: int, **numbers: Any) -> int:
        """Adds a step that computes the value y of the values x; returns y."""
        self.steps.append({"do": do, "y": y, "x": list(x), **numbers})
        return y

    def alias(self, node: "NodeProto") -> None:
        """The output of a node is its input."""
        self.known[node.output[0]] = self.known[node.input[0]]


def options(node: "NodeProto") -> dict[str, Any]:
    """The attributes of a node."""
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def require(node: "NodeProto", condition: bool) -> None:
    """Raises UnsupportedError with the operator's name unless the condition holds."""
    if not condition:
        raise UnsupportedError([node.op_type])


# Linear layers -----------------------------------------------------------------------------------


def dense(writer: Writer, node: "NodeProto") -> None:
    """Gemm and MatMul: a vector times a constant matrix."""
    x, matrix, *rest = node.input
    given = options(node)
    require(node, matrix in writer.constants and writer.shapes[x][0] == 1)
    require(node, len(writer.shapes[x]) == 2 and not given.get("transA"))
    require(node, given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0)
    weight = writer.constants[matrix]
    weight = weight if given.get("transB") else weight.T
    bias = writer.constants[rest[0]] if rest and rest[0] else np.zeros(len(weight))
    dense_step(writer, writer.value(node.output[0]), writer.known[x], weight, bias)


def dense_step(writer: Writer, y: int, x: int, weight: np.ndarray, bias: np.ndarray) -> None:
    """y = W x + b, for a matrix (outputs, inputs)."""
    w = writer.constant(layout.fours(weight))
    b = writer.constant(layout.padded(np.broadcast_to(bias.ravel(), len(weight))))
    writer.step("dense", y, x, w, b, outputs=len(weight), inputs=weight.shape[1])


def filters(writer: Writer, node: "NodeProto") -> tuple[np.ndarray, np.ndarray, layout.Frame]:
    """Weights, biases and frame of a convolution, or of a transposed one."""
    given, named = options(node), [*node.input[1:], ""][:2]
    require(node, named[0] in writer.constants)
    weight = writer.constants[named[0]]
    require(node, weight.ndim == 4)
    require(node, given.get("group", 1) == 1 and set(given.get("dilations", [1])) == {1})
    require(node, given.get("auto_pad", b"NOTSET") == b"NOTSET")
    strides, pads = given.get("strides", [1, 1]), given.get("pads", [0, 0, 0, 0])
    require(node, strides[0] == strides[1])
    _, channels, height, width = writer.shapes[node.input[0]]
    _, outputs, rows, columns = writer.shapes[node.output[0]]
    bias = writer.constants[named[1]] if named[1] else np.zeros(outputs)
    frame = layout.Frame(channels, height, width, rows, columns, strides[0], *pads[:2])
    return weight, bias, frame


def convolution(writer: Writer, node: "NodeProto") -> None:
    """Conv."""
    weight, bias, frame = filters(writer, node)
    part = layout.whole(weight.transpose(0, 2, 3, 1), frame)
    convolve(writer, node, [part], bias, frame)


def transposed(writer: Writer, node: "NodeProto") -> None:
    """ConvTranspose: as many convolutions as the stride has phases, or of one pixel a matrix."""
    weight, bias, frame = filters(writer, node)
    if frame.height == frame.width == 1:
        matrix, biases = layout.spread(weight, bias, frame)
        dense_step(
            writer, writer.value(node.output[0]), writer.known[node.input[0]], matrix, biases
        )
    else:
        convolve(writer, node, layout.phases(weight, frame), bias, frame)


def convolve(
    writer: Writer,
    node: "NodeProto",
    parts: list[layout.Part],
    bias: np.ndarray,
    frame: layout.Frame,
) -> None:
    """A step for each part, all on one input with a border of zeros."""
    x, y = writer.known[node.input[0]], writer.value(node.output[0])
    border = layout.border(parts, frame)
    height, width = (
        border.top + frame.height + border.bottom,
        border.left + frame.width + border.right,
    )
    if any(border):
        wide = writer.room(height * width * frame.channels)
        numbers = {"left": border.left * frame.channels, "top": border.top}
        line, wider = frame.width * frame.channels, width * frame.channels
        x = writer.step("pad", wide, x, rows=frame.height, line=line, wider=wider, **numbers)
    outputs, b = len(bias), writer.constant(layout.padded(bias))
    for part in parts:
        rows, columns = part.size
        across, down = part.stride * frame.channels, part.stride * width * frame.channels
        first = ((part.top + border.top) * width + part.left + border.left) * frame.channels
        begin = (part.row * frame.columns + part.column) * outputs
        writer.step(
            "convolve",
            y,
            x,
            writer.constant(layout.fours(part.weight)),
            b,
            rows=rows,
            columns=columns,
            outputs=outputs,
            height=part.weight.shape[1],
            run=part.weight.shape[2] * frame.channels,
            line=width * frame.channels,
            first=first,
            across=across,
            down=down,
            begin=begin,
            step=part.step * outputs,
            leap=part.step * frame.columns * outputs,
        )


# Each number by itself ---------------------------------------------------------------------------


def mapped(writer: Writer, node: "NodeProto") -> None:
    """A function of each number; an input with fewer numbers is repeated."""
    operands = [operand(writer, node, name) for name in node.input]
    if node.op_type == "LeakyRelu":
        operands.append(writer.constant(np.array(options(node).get("alpha", 0.01))))
    if node.op_type == "Clip":  # an absent bound has an empty name
        bounds = [-np.inf, np.inf]
        operands += [writer.constant(np.array(bound)) for bound in bounds[len(operands) - 1 :]]
    writer.step("map", writer.value(node.output[0]), *operands, f=MAPS[node.op_type])


def operand(writer: Writer, node: "NodeProto", name: str) -> int:
    """A value that fits to each number of a node's output."""
    if not name:  # Clip's lower bound
        return writer.constant(np.array(-np.inf))
    result = writer.shapes[node.output[0]]
    shape = (1,) * (len(result) - len(writer.shapes[name])) + writer.shapes[name]
    channels = layout.places(shape)[0]
    fits = shape == result or layout.places(shape) in ((1, 1, 1), (layout.places(result)[0], 1, 1))
    require(node, fits and channels >= 1)
    if name in writer.constants:
        return writer.constant(layout.last(writer.constants[name].reshape(shape)))
    return writer.known[name]


def normalised(writer: Writer, node: "NodeProto") -> None:
    """BatchNormalization by running statistics: a factor and a shift for each channel."""
    scale, shift, mean, variance = (
        writer.constants[name].astype(np.float64) for name in node.input[1:]
    )
    factor = scale / np.sqrt(variance + options(node).get("epsilon", 1e-5))
    a, b = writer.constant(factor), writer.constant(shift - mean * factor)
    y = writer.value(node.output[0])
    writer.step("map", y, writer.known[node.input[0]], a, b, f="affine")


# Shapes ------------------------------------------------------------------------------------------


def reshaped(writer: Writer, node: "NodeProto") -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze: the order changes where channels come last or not."""
    before, after = (layout.places(writer.shapes[name]) for name in (node.input[0], node.output[0]))
    same = before == after or all(1 in (one[0], one[1] * one[2]) for one in (before, after))
    if same:
        writer.alias(node)
        return
    flat_before, flat_after = (one[1] * one[2] == 1 for one in (before, after))
    require(node, flat_before or flat_after)
    channels, height, width = after if flat_before else before
    rows, columns = (channels, height * width) if flat_before else (height * width, channels)
    y, x = writer.value(node.output[0]), writer.known[node.input[0]]
    writer.step("transpose", y, x, rows=rows, columns=columns)


def resized(writer: Writer, node: "NodeProto") -> None:
    """Resize to a multiple, without smoothing."""
    (c, h, w), (_, rows, columns) = (
        layout.places(writer.shapes[name]) for name in (node.input[0], node.output[0])
    )
    given = options(node)
    plain = given.get("coordinate_transformation_mode") == b"asymmetric"
    require(node, plain and given.get("mode", b"nearest") == b"nearest")
    require(node, given.get("nearest_mode") == b"floor" and rows % h == columns % w == 0)
    y, x = writer.value(node.output[0]), writer.known[node.input[0]]
    numbers = {"rows": rows, "columns": columns, "channels": c, "line": w * c}
    writer.step("resize", y, x, down=rows // h, across=columns // w, **numbers)


def padded(writer: Writer, node: "NodeProto") -> None:
    """Pad: zeros before and after the numbers of a vector."""
    pads = writer.constants[node.input[1]].astype(int).tolist()
    if not any(pads):
        writer.alias(node)
        return
    shape, y = writer.shapes[node.input[0]], writer.value(node.output[0])
    require(node, len(shape) == 2 and pads[0] == pads[2] == 0 and min(pads) >= 0)
    require(node, options(node).get("mode", b"constant") == b"constant")
    require(node, all(not writer.constants[name].any() for name in node.input[2:3] if name))
    numbers = {"rows": 1, "line": shape[1], "wider": sum(pads) + shape[1], "left": pads[1]}
    writer.step("pad", y, writer.known[node.input[0]], top=0, **numbers)


def sliced(writer: Writer, node: "NodeProto") -> None:
    """Slice: a part of a vector."""
    starts, _, axes, *steps = (writer.constants[name].tolist() for name in node.input[1:])
    shape = writer.shapes[node.input[0]]
    require(node, axes == [1] and len(shape) == 2 and shape[0] == 1 and steps in ([], [[1]]))
    first = starts[0] + (shape[1] if starts[0] < 0 else 0)
    y, x = writer.value(node.output[0]), writer.known[node.input[0]]
    writer.step("slice", y, x, first=first)


TRANSLATED: Mapping[str, Callable[[Writer, "NodeProto"], None]] = {
    "Gemm": dense,
    "MatMul": dense,
    "Conv": convolution,
    "ConvTranspose": transposed,
    **dict.fromkeys(MAPS, mapped),
    "BatchNormalization": normalised,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshaped),
    "Resize": resized,
    "Pad": padded,
    "Slice": sliced,
}
