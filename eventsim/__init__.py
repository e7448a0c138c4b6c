"""eventsim: trained spiking networks, event by event, by additions only, on the CPU.

    model = eventsim.load("net.h5")
    recording = eventsim.Simulator(model, precision="int8").run(x)
    recording.predictions, recording.counts.totals()

Words used throughout:

step        one time step
level       the whole number k that a multi-bit spike carries
quantum     what one level is worth (delta)
plane       bit b of the levels of all neurons of a layer
event       a (step, neuron) whose level is not 0
fan-out     the synapses that an event has; border neurons of a convolution have fewer
synop       a synaptic operation: one event at one synapse
stage       a layer, an input or a word operation of a program
path        the synapses from one spike train into one membrane
"""

from importlib import import_module

__version__ = "0.2.0"

# Imported when first used: `import eventsim` compiles nothing and stays quick.
_HOMES = {
    "Model": "model.network", "Edge": "model.graph", "Check": "model.check",
    "Simulator": "engine.simulator", "Recording": "engine.recording",
    "Stream": "engine.stream.streaming", "StreamWindow": "engine.stream.streaming",
    "StreamState": "engine.stream.state",
    "evaluate": "runs.evaluating", "Evaluation": "runs.evaluating", "merge_summaries": "runs.summary",
    "RunSummary": "runs.summary", "open_dataset": "inputs.dataset", "Dataset": "inputs.dataset",
    "EventStream": "inputs.events", "open_events": "inputs.event_files.opening",
    "open_run": "runs.file", "save_run": "runs.file", "Run": "runs.file",
    "Spikes": "spikes", "Counts": "statistics.counts", "Statistics": "statistics.result", "to_neo": "runs.neo",
    "compare": "comparison.divergence", "Comparison": "comparison.result",
    "Divergence": "comparison.result", "Trace": "comparison.traces", "open_trace": "comparison.traces",
    "load": "formats", "save": "formats",
    "EventsimError": "errors", "EventsimWarning": "errors", "ModelError": "errors", "FormatError": "errors",
    "DataError": "errors", "UnsupportedError": "errors", "MissingPackageError": "errors", "RunError": "errors",
    "Input": "model.input", "EventBins": "model.input", "Dense": "model.synapses", "Conv1d": "model.synapses",
    "Conv2d": "model.synapses", "ConvTranspose2d": "model.synapses", "Upsample": "model.transforms",
    "Concat": "model.transforms", "Restimulation": "model.synapses", "SumPool": "model.transforms",
    "AvgPool": "model.transforms", "MaxPool": "model.transforms", "Flatten": "model.transforms",
    "BatchNorm": "model.transforms", "Add": "model.transforms", "Delay": "model.transforms",
    "Neuron": "model.neurons", "Alpha": "model.neurons", "SigmaDelta": "model.neurons", "Readout": "model.neurons",
    "Chip": "model.chip", "EnergyTable": "costs.energy_table",
    # what the keywords of load, save, open_dataset, open_events and Simulator.stream may be
    "NirOptions": "formats.nir.presets", "NirWriteOptions": "formats.nir.presets",
    "LavaOptions": "formats.lava.options", "DataOptions": "inputs.preparing",
    "EventOptions": "inputs.event_files.options", "StreamOptions": "engine.stream.options",
}
_CALLED = ("from_torch",)  # packages that are themselves called
__all__ = ["__version__", *_HOMES, *_CALLED]


def __getattr__(name):
    if name in _CALLED:
        return import_module(f"eventsim.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'eventsim' has no attribute {name!r}")
    value = getattr(import_module(f"eventsim.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
