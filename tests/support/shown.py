"""Rewrites every output that the README and the guides show by what the block before it prints now.

    python tests/support/shown.py            # rewrite, name the pages that changed
    python tests/support/shown.py --check    # only name what would change; exit status 1 if anything would

Speeds differ from run to run: an output in which nothing else has changed is left as it is.
"""

import argparse
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # this checkout's eventsim, installed or not
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pages  # noqa: E402


def renewed(page):
    """The page's text with its outputs as they are now. Raises SystemExit, naming the block, where one fails."""
    text, shown = page.read_text(), {before: after for before, after in pages.shows(page)}
    replaced = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pages.prepare(folder)
        for block in pages.blocks(page):
            if block.kind not in ("sh", "python"):
                continue
            done = pages.run(block, folder)
            if not done.as_meant:
                said = f"{block.place}: ended with {done.status}, expected {done.expected}"
                raise SystemExit(f"{said}\n{done.stderr}")
            if block in shown and not done.missing:
                replaced.append((shown[block], done.stdout))
    for block, printed in reversed(replaced):
        if pages.without_speed(block.text) != pages.without_speed(printed):
            text = text[: block.start] + printed.strip("\n") + "\n" + text[block.end:]
    return text


def main(arguments=None):
    """Rewrite, or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a page would change")
    check = parser.parse_args(arguments).check
    changed = False
    for page in pages.pages():
        text = renewed(page)
        if text != page.read_text():
            changed = True
            print(page.relative_to(pages.ROOT))
            if not check:
                page.write_text(text)
    return int(check and changed)


if __name__ == "__main__":
    sys.exit(main())
