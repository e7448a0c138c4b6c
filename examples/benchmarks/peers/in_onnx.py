"""A model as an ONNX graph, unrolled over its steps, for ONNX Runtime: what somebody who deploys would take.

Convolutions and dense layers take all steps as one batch; neurons are ONNX operators, a few per step. In int8 the
convolutions and dense layers are quantised by ONNX Runtime's own tool, calibrated on samples; neurons stay in
float32.
"""

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader, CalibrationMethod, quantize_static, QuantFormat, QuantType,
)

from peers.plan import plan, values_of

OPERATORS = 18  # the version of ONNX: Split into equal parts


class OnnxNetwork:
    """The network of a Model: `prepare` samples once, then call it: array -> answers (N, classes).

    steps: of the unrolled graph. calibration: prepared samples for int8, None for float32. relu: the layers run
    once, with ReLU instead of neurons, on samples summed over their steps: not the same network, but what one of
    these layers takes that does not spike. Of a model without recurrent groups.
    """

    def __init__(self, model, steps, calibration=None, relu=False):
        self.node, self.relu = model.nodes[model.input], relu
        graph = _Unrolled(model, 1 if relu else steps, relu).model()
        data = graph.SerializeToString() if calibration is None else quantised(graph, calibration)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def prepare(self, x):
        """Levels (N, ...) that stand still, or (N, T, ...), as float32 (N, ...) or (T * N, ...)."""
        values = values_of(self.node, x)
        if self.relu and x.ndim > len(self.node.shape) + 1:
            values = values.sum(1)
        elif x.ndim > len(self.node.shape) + 1:
            values = values.swapaxes(0, 1).reshape(-1, *x.shape[2:])
        return np.ascontiguousarray(values)

    def __call__(self, x):
        return self.session.run(None, {"x": x})[0]


def quantised(graph, calibration):
    """A graph whose convolutions and dense layers run in int8, as bytes."""

    class Samples(CalibrationDataReader):
        left = [{"x": x} for x in calibration]

        def get_next(self):
            return self.left.pop(0) if self.left else None

    logging.disable(logging.WARNING)  # the advice to run what fuses BatchNorm, of which there is none
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantize_static(graph, path, Samples(), quant_format=QuantFormat.QOperator, per_channel=True,
                            op_types_to_quantize=["Conv", "Gemm"], activation_type=QuantType.QUInt8,
                            weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax)
            return path.read_bytes()
    finally:
        logging.disable(logging.NOTSET)


class _Unrolled:
    """Builds the graph.

    wholes: name -> tensor (T * N, ...), or (N, ...) of what stands still. parts: name -> the tensors of its steps.
    Each is made from the other when it is asked for.
    """

    def __init__(self, model, steps, relu):
        self.source, self.steps, self.relu, self.layers = model, steps, relu, plan(model)
        self.nodes, self.constants, self.parts, self.wholes = [], [], {}, {}
        still = model.nodes[model.input].still
        self.wholes[model.input] = "x"
        self.still = {model.input: still, **{layer.name: layer.still for layer in self.layers}}

    def model(self):
        """The checked ModelProto: x -> y."""
        done = set()
        for layer in self.layers:
            if layer.loop < 0:
                self._layer(layer)
            elif layer.loop not in done:
                done.add(layer.loop)
                self._recurrent([each for each in self.layers if each.loop == layer.loop])
        answer = self.source.output
        if self.layers[-1].kind != "Readout":
            self.wholes[answer] = self._node("Sum", self._steps(answer))
        self._node("Identity", [self.wholes[answer]], "y")
        shape, given = (self.source.shapes[name] for name in (self.source.input, answer))
        graph = helper.make_graph(
            self.nodes, "unrolled", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["M", *given])], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPERATORS)])
        made.ir_version = 8
        onnx.checker.check_model(made)
        return made

    # ---- tensors

    def _node(self, operator, inputs, output=None, **settings):
        """Add a node; returns the name of what it gives."""
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **settings))
        return output

    def _constant(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def _whole(self, name):
        if name not in self.wholes:
            self.wholes[name] = self._node("Concat", self.parts[name], axis=0)
        return self.wholes[name]

    def _steps(self, name):
        if self.steps == 1:
            return [self._whole(name)]
        if name not in self.parts and self.still[name]:
            self.parts[name] = [self.wholes[name]] * self.steps
        elif name not in self.parts:
            names = [f"{self.wholes[name]}_{t}" for t in range(self.steps)]
            split = helper.make_node("Split", [self.wholes[name]], names, axis=0, num_outputs=self.steps)
            self.nodes.append(split)
            self.parts[name] = names
        return self.parts[name]

    def _summed(self, names):
        return names[0] if len(names) == 1 else self._node("Sum", names)

    # ---- layers

    def _layer(self, layer):
        sources = [read.source for read in layer.reads]
        if layer.kind in ("Neuron", "Readout"):
            moving = [self._summed(each) for each in zip(*map(self._steps, sources))]
            if all(self.still[source] for source in sources):
                moving = moving[:1] * self.steps
            if layer.kind == "Neuron" and self.relu:
                self.wholes[layer.name] = self._node("Relu", moving)
            elif layer.kind == "Neuron":
                neurons = _Neurons(self, layer.values)
                self.parts[layer.name] = [neurons.step(x) for x in moving]
            else:
                self.wholes[layer.name] = self._read_out(moving, layer.values)
        else:
            self.wholes[layer.name] = self._operation(layer, self._whole(sources[0]))

    def _recurrent(self, layers):
        neurons = {layer.name: _Neurons(self, layer.values) for layer in layers if layer.kind == "Neuron"}
        self.parts.update({layer.name: [] for layer in layers})
        names = [layer.name for layer in layers]
        for t in range(self.steps):
            for layer in layers:
                arriving = [self.parts[r.source][t - r.delay] if r.source in names
                            else self._steps(r.source)[t - r.delay] for r in layer.reads if t >= r.delay]
                arriving = [x for x in arriving if x is not None]
                if not arriving:  # synapses whose source has sent nothing yet
                    self.parts[layer.name].append(None)
                elif layer.kind == "Neuron":
                    self.parts[layer.name].append(neurons[layer.name].step(self._summed(arriving)))
                else:
                    self.parts[layer.name].append(self._operation(layer, arriving[0]))

    def _operation(self, layer, x):
        values = dict(layer.values)
        if layer.kind == "Flatten":
            return self._node("Flatten", [x], axis=1)
        if layer.kind in ("MaxPool", "AvgPool", "SumPool"):
            return self._pool(layer.kind, x, **values)
        if layer.kind == "Restimulation":
            return self._attention(x, **values)
        weights = [self._constant(values.pop("weight"))]
        bias = values.pop("bias")
        weights += [] if bias is None else [self._constant(bias)]
        if layer.kind == "Dense":
            return self._node("Gemm", [x, *weights], transB=1)
        padding = values["padding"]
        return self._node("Conv", [x, *weights], strides=values["stride"], dilations=values["dilation"],
                          pads=[*padding, *padding], group=values["groups"])

    def _pool(self, kind, x, kernel, stride, padding):
        settings = dict(kernel_shape=kernel, strides=stride, pads=[*padding, *padding])
        if kind == "MaxPool":
            return self._node("MaxPool", [x], **settings)
        mean = self._node("AveragePool", [x], count_include_pad=1, **settings)
        return mean if kind == "AvgPool" else self._node("Mul", [mean, self._constant(np.prod(kernel))])

    def _attention(self, x, kernel, factor, stride, weight):
        q = x if weight is None else self._node("Conv", [x, self._constant(weight)], strides=stride)
        reach = len(kernel) // 2
        mean = self._node("GlobalAveragePool", [q])  # (N, C, 1, 1): a convolution along its second axis
        turned = self._node("Transpose", [mean], perm=[0, 2, 1, 3])
        column = self._constant(kernel.reshape(1, 1, -1, 1))
        mixed = self._node("Conv", [turned, column], pads=[reach, 0, reach, 0])
        g = self._node("Mul", [self._node("Sigmoid", [mixed]), self._constant(256)])
        g = self._node("Floor", [self._node("Add", [g, self._constant(0.5)])])
        g = self._node("Mul", [g, self._constant(factor / 256)])
        return self._node("Mul", [q, self._node("Transpose", [g], perm=[0, 2, 1, 3])])

    def _read_out(self, currents, values):
        reduce, u, i, answers = values["reduce"], None, None, []
        for x in currents:
            if values["current_leak"] is not None:
                i = x = self._leaking(i, values["current_leak"], x)
            u = self._driven(self._leaking(u, values["leak"], x), values)
            answers.append(u)
        return u if reduce == "last" else self._node("Sum" if reduce == "sum" else "Mean", answers)

    def _leaking(self, state, leak, x):
        """leak * state + x; state None: nothing before."""
        if state is None or not np.any(leak):
            return x
        if np.any(leak != 1):
            state = self._node("Mul", [state, self._constant(leak)])
        return self._node("Add", [state, x])

    def _driven(self, u, values):
        return self._node("Add", [u, self._constant(values["drive"])]) if np.any(values["drive"]) else u


class _Neurons:
    """The neurons of a layer, a step a call, as peers.in_torch has them."""

    def __init__(self, graph, values):
        self.graph, self.values, self.membrane, self.synaptic, self.owed = graph, values, None, None, None

    def step(self, x):
        """Name of the levels to the current x."""
        graph, values = self.graph, self.values
        if values["current_leak"] is not None:
            self.synaptic = x = graph._leaking(self.synaptic, values["current_leak"], x)
        u = graph._driven(graph._leaking(self.membrane, values["leak"], x), values)
        if self.owed is not None:
            u = graph._node("Sub", [u, self.owed])
        levels, fired = self._fire(u)
        if values["late"]:
            self.membrane, self.owed = u, levels
        else:
            self.membrane = self._reset(u, levels, fired)
        return levels

    def _fire(self, u):
        """(levels, whether there are any)."""
        graph, values = self.graph, self.values
        node, constant = graph._node, graph._constant
        if values["top"] == 1:
            operator = "Greater" if values["strict"] else "GreaterOrEqual"
            fired = node(operator, [u, constant(values["threshold"])])
            return node("Cast", [fired], to=TensorProto.FLOAT), fired
        if values["strict"]:
            whole = node("Ceil", [node("Sub", [u, constant(values["threshold"])])])
        else:
            whole = node("Floor", [node("Add", [u, constant(1 - values["threshold"])])])
        levels = node("Clip", [whole, constant(0), constant(values["top"])])
        return levels, node("Greater", [levels, constant(0)]) if values["reset"] == "hard" else None

    def _reset(self, u, levels, fired):
        graph, values = self.graph, self.values
        if values["reset"] == "soft":
            u = graph._node("Sub", [u, levels])
        elif values["reset"] == "hard":
            u = graph._node("Where", [fired, graph._constant(values["v_reset"]), u])
        return u if values["v_min"] is None else graph._node("Max", [u, graph._constant(values["v_min"])])
