"""What a file seems to be that is none of ours, by its first bytes, its members or its name."""

import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Tuple

FROM_TORCH = ("; load it where it comes from, take it over with eventsim.from_torch(net, samples, timesteps=T), "
              "and write it with eventsim.save(model, 'net.h5')")
SIGNATURES = {
    b"PK": "a zip archive, as .npz files are",
    b"\x80": "a Python pickle, which is a program and never loaded",
    b"\x1f\x8b": "packed with gzip",
    b"\x93NUMPY": "a NumPy array",
}
NETWORKS = {  # suffixes -> what such files are
    (".pt", ".pth", ".ckpt"): "a torch file", (".safetensors",): "weights without a network",
    (".onnx", ".keras", ".tflite"): "a network of another tool",
}


def what_it_seems(path, start: bytes) -> Tuple[str, bool]:
    """Return what a file seems to be, in words or "", and whether it is a network of another tool, or its weights.
    start: its first bytes."""
    suffix = Path(path).suffix.lower()
    by_suffix = next((what for suffixes, what in NETWORKS.items() if suffix in suffixes), "")
    network = "a torch file" if start.startswith(b"PK") and is_of_torch(path) else by_suffix
    seems = next((what for key, what in SIGNATURES.items() if start.startswith(key)), "")
    return network or seems, bool(network)


def is_of_torch(path) -> bool:
    """Return whether a file is a zip archive as torch writes them."""
    with suppress(OSError, ValueError, NotImplementedError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    return False
