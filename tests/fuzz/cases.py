"""Case number n of a campaign: a seed and what is done to it, or a random network. Nothing but n decides."""

import random
from typing import NamedTuple, Tuple

from fuzz import corpus
from fuzz.damage import BYTES, changed, TREE_OF

# of 100 cases, how many are of a family
SHARES = {"native": 13, "nir": 12, "lava": 5, "events": 30, "data": 15, "runs": 7, "traces": 6, "json": 11,
          "networks": 1}
NETWORKS = "networks"
COMPUTING = {"native", "nir", "lava", NETWORKS}  # families whose cases run kernels
FRESH = 16  # one of so many native cases starts from a random network


class Case(NamedTuple):
    """One case.

    number: of the campaign. family. seed: index in the corpus; -1: a native file of random network `number`.
    changes: (name, number of its random choices) of what is done to the file, in order.
    """

    number: int
    family: str
    seed: int
    changes: Tuple[Tuple[str, int], ...] = ()


def case(number, families=None) -> Case:
    """The case with that number; families: only of these."""
    rng = random.Random(number)
    shares = {name: share for name, share in SHARES.items() if families is None or name in families}
    [family] = rng.choices(list(shares), list(shares.values()))
    if family == NETWORKS:
        return Case(number, family, rng.randrange(1 << 31))
    found = corpus.seeds(family)
    seed = -1 if family == "native" and not rng.randrange(FRESH) else rng.randrange(len(found))
    suffix = found[seed].suffix
    n = rng.choice((1, 1, 1, 2, 3, 6))
    trees = suffix in TREE_OF and rng.random() < 0.7
    names = [TREE_OF[suffix] if trees and rng.random() < 0.9 else rng.choice(list(BYTES)) for _ in range(n)]
    names.sort(key=BYTES.__contains__)  # members of files that are whole: h5py itself need not bear others
    return Case(number, family, seed, tuple((name, rng.randrange(1 << 31)) for name in names))


def seed_of(one: Case) -> corpus.Seed:
    """The seed of a case of files."""
    if one.seed >= 0:
        return corpus.seeds(one.family)[one.seed]
    return corpus.Seed(one.family, "random.h5", corpus.random_model_file(one.number % (1 << 31)), "random.h5")


def file_of(one: Case) -> corpus.Seed:
    """The seed with its content changed."""
    seed = seed_of(one)
    return seed._replace(content=changed(seed.content, one.changes, seed.suffix))
