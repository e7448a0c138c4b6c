"""A trainer for spiking networks in PyTorch, which eventsim then runs without PyTorch.

neurons.py         IF, LIF, SRIF: hard and soft reset, multi-bit spikes, MPR, surrogates; re-stimulation, tdBN
network.py         SpikingNet: named layers over (time, samples, ...) that read each other, and the Readout
neuron_kernels.py  what neurons.py computes, in one pass over memory on CPUs
networks.py        VGG16, ResNet18, 19, 20, 34 as the papers use them, and small ones
data.py            MNIST, CIFAR-10, CIFAR-100, N-MNIST, CIFAR10-DVS, ImageNet from their official files
augmentation.py    crop, flip, AutoAugment, Cutout, roll
options.py         which options of a network do not go together
training.py        SGD with cosine decay, mixed precision, checkpoints that resume; a small loop for the digits
timed.py           training that fits a given time: a schedule chosen by the clock, checkpoints to carry away
on_device.py       samples in a device's memory, augmented there
neuron_graphs.py   what neurons.py computes, compiled for a GPU; whole networks compiled for a CPU
rectifier.py       the slope of MPR as polynomials
packed.py          a data set in a few files, for a machine with nothing but PyTorch
pieces.py          bytes in pieces of limited size, and joined again
conversion.py      any trained ReLU network to multi-bit IF neurons
rounding.py        a ReLU network in 8 bits, to compare with
rules.py           what its modules are in eventsim, for eventsim.from_torch
simulating.py      a stored model run in PyTorch, without eventsim's engine
errors.py          the error that a user can cause and mend
parity.py          a file against PyTorch, on a whole data set: every spike, every prediction; a command, too
digits.py          the UCI digits (needs scikit-learn, not PyTorch)
__main__.py        train, convert, export, test: python -m trainer --help
"""
