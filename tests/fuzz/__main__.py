"""A campaign of damaged files and random networks. From the folder of the tests:

    python -m fuzz --cases 1000000 --resume campaign.json
    python -m fuzz --case 4711                  # one of them, in this process, with its traceback

Exit status 1: something was found.
"""

import argparse
import json
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# this checkout's eventsim, installed or not
sys.path[:0] = [str(TESTS), str(TESTS / "support"), str(TESTS.parent)]

from fuzz import campaign, cases, corpus, trials, warming  # noqa: E402


def main(arguments=None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000, metavar="N", help="in all, with those done before")
    parser.add_argument("--resume", metavar="FILE", help="JSON: go on where it says, and keep it there")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first case")
    parser.add_argument("--families", nargs="+", choices=tuple(cases.SHARES), metavar="F",
                        help="only some of: " + ", ".join(cases.SHARES))
    parser.add_argument("--keep", metavar="FOLDER", help="for files that show something new, minimised")
    parser.add_argument("--here", action="store_true", help="in this process, without limits: to measure coverage")
    parser.add_argument("--case", type=int, metavar="N", help="one case, in this process")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    families = tuple(asked.families) if asked.families else None
    if asked.case is not None:
        return _one(asked.case, families)
    standing = campaign.Standing(asked.first, families=families)
    if asked.resume and Path(asked.resume).exists():
        standing = campaign.Standing.of_json(json.loads(Path(asked.resume).read_text()))
    trials.undamaged()
    for family in corpus.WRITERS if families is None else set(families) - {cases.NETWORKS}:
        corpus.seeds(family)
    if families is None or cases.COMPUTING & set(families):
        warming.warm()
    doing = campaign.Campaign(standing, asked.resume, asked.keep, _Here() if asked.here else None)
    found = doing.run(asked.cases, lambda standing: print(standing.as_text().partition("\n")[0], file=sys.stderr))
    print(json.dumps(found.as_json(), indent=1) if asked.json else found.as_text())
    return 1 if found.findings else 0


class _Here:
    """Does cases in this process."""

    def outcomes(self, waiting):
        with corpus.folder_in_memory() as folder:
            for case in waiting:
                yield case, trials.trial(case, Path(folder))

    def one(self, case):
        return next(iter(self.outcomes([case])))[1]


def _one(number, families):
    case = cases.case(number, families)
    print(case)
    if case.family != cases.NETWORKS:
        print(cases.seed_of(case).name)
    [(_, outcome)] = _Here().outcomes([case])
    print(*outcome, sep="\n")
    return 1 if outcome.bucket else 0


if __name__ == "__main__":
    sys.exit(main())
