"""N-MNIST: folders of .bin recordings."""

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.binning import bin_events
from eventsim.inputs.levels import check_values
from eventsim.inputs.source import N_CLASSES, Source
from eventsim.storage.reading import reading, refuse_special

EVENT_BYTES = 5


class NmnistSource(Source):
    """N-MNIST: a folder per digit of recordings, 5 bytes an event.

    Byte 0 x, byte 1 y, then 1 bit polarity (1 = brighter) and 23 bits time in microseconds,
    big-endian.
    """

    layout = "CHW"

    def __init__(self, path, digits, input_node, timesteps):
        self.path = path
        self._input = input_node
        self._timesteps = timesteps
        if input_node.events is None or timesteps is None:
            missing = "timesteps" if input_node.events else "events in the model's Input"
            raise DataError(f"{path}: holds event recordings; binning them needs {missing}")
        self._files = [file for folder in digits for file in sorted(folder.glob("*.bin"))]
        self.n_samples = len(self._files)
        self.labels = self._labels()
        self.sample_shape = (timesteps, *input_node.shape)

    def _labels(self):
        """Classes, which folders are named by."""
        numbers = {file.parent.name: int(file.parent.name) for file in self._files}
        for name, number in numbers.items():
            if number >= N_CLASSES:
                raise DataError(f"{self.path / name}: is named by no class, expected a number below {N_CLASSES}")
        return np.array([numbers[file.parent.name] for file in self._files], np.int64)

    def read(self, size, stop, first=0):
        for start in range(first, stop, size):
            yield np.stack([self._levels(f) for f in self._files[start:min(start + size, stop)]])

    def _levels(self, path):
        """uint16 (T, 2, H, W) of one recording."""
        x, y, polarity, t = self._events(path)
        events, n_steps = self._input.events, self._timesteps
        self.n_dropped += int((np.floor(t / events.bin_width) >= n_steps).sum())
        try:
            levels = bin_events(x, y, polarity, t, events, n_steps)
            check_values(levels, self._input)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        return levels

    @staticmethod
    def _events(path):
        """(x, y, polarity, t) of one recording."""
        refuse_special(path)
        with reading(path):
            data = np.fromfile(path, dtype=np.uint8)
        if len(data) == 0 or len(data) % EVENT_BYTES:
            raise DataError(
                f"{path}: has {len(data)} bytes, expected a multiple of {EVENT_BYTES} above 0: "
                "truncated, or no N-MNIST recording"
            )
        x, y, *rest = data.reshape(-1, EVENT_BYTES).T.astype(np.int64)
        return x, y, rest[0] >> 7, (rest[0] & 0x7F) << 16 | rest[1] << 8 | rest[2]
