"""What torch's operations are in a spiking network."""
