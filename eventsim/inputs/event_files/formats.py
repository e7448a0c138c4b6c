"""The formats that are read, in words. Nothing is imported here: the help of commands shows them."""

RECORDINGS = {  # module of `event_files` -> the formats that it reads
    "aedat2": "AEDAT 2.0", "aedat3": "AEDAT 3.1", "aedat4": "AEDAT 4", "es": "Event Stream (.es)",
    "evt": "EVT 2.0, 2.1 and 3.0 (.raw)", "dat": "DAT", "cochlea": "SHD and SSC (.h5)",
    "hdf5_events": "HDF5 with t, x, y, p", "numpy_files": ".npy and .npz with t, x, y, p",
    "text_events": "text with an event a line (.csv, .tsv, .txt)", "five_bytes": "N-MNIST and N-Caltech101 (.bin)",
}
OF_EVENTS = ", ".join(RECORDINGS.values())
OF_VALUES = "HDF5 or .npz with x and y, .npy, MNIST IDX, CIFAR binary (.bin)"
