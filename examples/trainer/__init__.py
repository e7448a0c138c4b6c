"""A small trainer for spiking networks in PyTorch, which eventsim then runs without PyTorch.

neurons.py   SRIF: soft reset, multi-bit spikes, membrane potential rectifier, surrogate gradient
network.py   SpikingNet: named layers over (time, samples, ...), and the Readout
training.py  the training loop
export.py    fold BatchNorm, simulate the folded network in float64, make an eventsim.Model
digits.py    the data set (needs scikit-learn, not PyTorch)
"""
