"""How many samples and steps are run together."""

BLOCK_BYTES = 8 << 20  # of planes, and of membranes where they are kept, in one block
CHUNK_BYTES = 64 << 20  # of planes of one sample over one chunk
LARGEST_BLOCK = 64
