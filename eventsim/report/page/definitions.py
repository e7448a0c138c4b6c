"""The words of the page, each with what exactly it means and where the definition is from."""

from typing import NamedTuple


class Definition(NamedTuple):
    """source: who defined it, "" where it is eventsim's own."""

    term: str
    meaning: str
    source: str = ""


NEUROBENCH = "J. Yik et al., \"The NeuroBench framework\", Nature Communications 16, 2025"
INFLOR = "Y. Guo et al., \"Reducing Information Loss for Spiking Neural Networks\" (InfLoR-SNN), ECCV 2022"
MULTIBIT = "Multi-Bit Mechanism, arXiv 2407.05739"

# heading -> definitions
DEFINITIONS = {
    "Spikes": (
        Definition("Step", "One time step. Every layer runs once in it, in the model's order."),
        Definition("Level", "The whole number that a spike of several bits carries; 0 is no spike. What one "
                            "level is worth is the layer's quantum.", MULTIBIT),
        Definition("Event", "A neuron whose level is not 0 in one step of one sample."),
        Definition("Rate", "Events per neuron and step, over all samples. The mean firing rate of the neurons is "
                           "that of all layers that decide to fire, without the input, pools and sums."),
        Definition("Silent, saturated", "Neurons with no event in any sample; neurons with an event in every "
                                        "step of every sample."),
        Definition("Mean level", "Mean absolute level of the events."),
        Definition("Bit plane", "Bit b of all levels of a layer; worth 2^b levels. Its use is the share of "
                                "(neuron, step, sample) in which it is set. Signed layers have a second set, "
                                "for negative levels."),
        Definition("Activation sparsity", "Share of zeros among all levels: 1 - rate.", NEUROBENCH),
        Definition("Entropy", "Shannon entropy of a layer's distribution of levels, in bits per neuron and "
                              "step; per event: divided by the rate. It takes neurons and steps as independent, "
                              "and so is an upper bound."),
        Definition("CV", "Coefficient of variation: standard deviation of the intervals between a neuron's "
                         "events over their mean. 0: regular; 1: as irregular as a Poisson process.",
                   "as elephant.statistics.cv; intervals inside a sample"),
        Definition("LV", "Local variation: mean of 3 ((I1 - I2) / (I1 + I2))^2 over consecutive intervals; "
                         "unlike the CV insensitive to slow changes of the rate. 0: regular; 1: Poisson.",
                   "S. Shinomoto, K. Shima, J. Tanji, Neural Computation 15, 2003; as elephant.statistics.lv"),
        Definition("Fano factor", "Variance over mean of a neuron's events per sample; 1 for a Poisson process.",
                   "U. Fano, Physical Review 72, 1947; as elephant.statistics.fanofactor"),
        Definition("Looked at closely", "Intervals, CV, LV, correlations and membranes are of a few samples, "
                                        "evenly spread (`eventsim run --detailed N`), and of large layers of "
                                        "some neurons. All other numbers are of all samples and neurons."),
        Definition("Correlation", "Pearson's r of \"had an event\" over all steps and samples, for at most 64 "
                                  "neurons of a layer."),
    ),
    "Membranes": (
        Definition("H and U", "The membrane potential before and after the reset, over a few samples, in "
                              "thresholds (potential / v_threshold), or in quanta where a threshold is not "
                              "above 0."),
        Definition("Quantum of a membrane", "The size of one level in it: the layer's quantum, which a soft reset "
                                            "subtracts; v_threshold where spikes of one bit reset to v_reset or "
                                            "not at all, as nothing but the worth of a spike knows the quantum "
                                            "then."),
        Definition("Drift", "Root mean square of U over a layer's neurons, after each step."),
        Definition("Quantisation error",
            "Mean of (u - o)^2, in quanta squared: what firing loses of the membrane u by sending o.",
            INFLOR + ", eq. 8"),
        Definition("MPR", "Membrane potential rectification: phi(H) moves a potential towards the nearest level "
                          "before it fires.", INFLOR + ", eq. 9"),
    ),
    "Operations and energy": (
        Definition("Synaptic operation (synop)",
            "One event arriving at one synapse, whatever its level and weight. Padding is no synapse: neurons "
            "at a border have fewer."),
        Definition("Additions", "Set bits times synapses: what hardware that only adds executes. A level of 3 "
                                "is two additions."),
        Definition("Dense MACs", "All synapses times steps: the multiply-accumulates of a layer that ignores "
                                 "that most levels are 0."),
        Definition("Energy", "Operations and memory accesses, each times a figure of the table that the run "
                             "names, per sample. It compares designs; it predicts no chip."),
        Definition("Matched ANN", "The same layers without spikes, run once per sample and densely, with "
                                  "activations quantised to the bits that say what T steps of spikes can say.",
                   "Z. Yan, Z. Bai, W.-F. Wong, arXiv 2409.08290, 2024, for spikes of one bit"),
        Definition("Synapse rate", "Share of a layer's synapses that an event reaches per step: synops over "
                                   "dense MACs. It is the rate of what the layer reads, not of the layer."),
        Definition("Crossing", "The synapse rate at which a layer costs as much as its matched ANN; below it, "
                               "events cost less."),
    ),
    "Decisions": (
        Definition("Accuracy after step t", "Share of right predictions had the run stopped there."),
        Definition("Final from step t", "The prediction after step t is the last one, and did not change in "
                                        "between."),
        Definition("Confusion", "Rows: labels; columns: predictions after the last step."),
    ),
    "Findings": (
        Definition("Fault", "Results are probably wrong or mean nothing."),
        Definition("Warning", "Accuracy or cost probably suffers."),
        Definition("Note", "Something is not used. Rules that need many samples say nothing on few; their "
                           "thresholds, with reasons, are in the package eventsim.report."),
    ),
}
