"""Rules for the neurons of other libraries, by the names of their classes: nothing of them is imported."""

LIBRARIES = ("snntorch", "spikingjelly", "norse", "sinabs")
