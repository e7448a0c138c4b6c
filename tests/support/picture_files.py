"""Tiny data sets in the official formats of MNIST and CIFAR."""

import gzip

import numpy as np


def write_mnist(folder, n=30):
    for part, seed in (("train", 0), ("t10k", 1)):
        generator = np.random.default_rng(seed)
        x = generator.integers(0, 256, (n, 28, 28), np.uint8)
        y = generator.integers(0, 10, n).astype(np.uint8)
        for kind, values, magic in (("images-idx3", x, 3), ("labels-idx1", y, 1)):
            header = bytes([0, 0, 8, magic]) + np.array(values.shape, ">u4").tobytes()
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb") as file:
                file.write(header + values.tobytes())


def write_cifar(folder, n=20):
    generator = np.random.default_rng(2)
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        records = generator.integers(0, 256, (n, 3073), np.uint8)
        records[:, 0] %= 10
        records.tofile(folder / name)
    (folder / "batches.meta.txt").write_text("\n".join(f"class{i}" for i in range(10)) + "\n\n")
    for name in ("train.bin", "test.bin"):
        records = generator.integers(0, 256, (n, 3074), np.uint8)
        records[:, 0] %= 20
        records[:, 1] %= 100
        records.tofile(folder / name)
    (folder / "fine_label_names.txt").write_text("\n".join(f"fine{i}" for i in range(100)) + "\n")
