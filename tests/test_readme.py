"""Every block of the README and of the guides runs, what they show is what is printed, and their links lead
somewhere."""

import contextlib
import io
import re
import shlex
import subprocess
from functools import lru_cache
from pathlib import Path

import pages
import pytest
import shown

from eventsim import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = pages.pages()
GUIDES = [page for page in PAGES if page != pages.README]
BLOCKS = [block for page in PAGES for block in pages.blocks(page)]
RUN = [block for block in BLOCKS if block.kind in ("sh", "python")]
SHOWN = [pair for page in PAGES for pair in pages.shows(page)]
README = pages.README.read_text()
SETUP = [line for block in pages.blocks(pages.README) if block.kind == "sh"
         for line in pages.lines(block) if "venv" in line]


def place(block):
    return block.place


def outside_blocks(page):
    """(number, line) of the lines of a page that are in no block, from 1."""
    text = pages.FENCE.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())
    return list(enumerate(text.splitlines(), start=1))


# ---- blocks


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """block -> what it gave. Its page is run from its first block to its last, once, in a folder of its own."""

    @lru_cache(maxsize=None)
    def of_page(page):
        folder = tmp_path_factory.mktemp(page.stem)
        pages.prepare(folder)
        found, lacking = {}, None
        for block in pages.blocks(page):
            if block.kind in ("sh", "python"):
                found[block] = pages.run(block, folder)
                lacking = lacking or found[block].missing
                if lacking and found[block].status and "No such file" in found[block].stderr:
                    found[block] = found[block]._replace(missing=lacking)  # a block that was left out makes it
        return found

    return lambda block: of_page(block.page)[block]


def test_there_are_blocks():
    assert len(SETUP) == 2
    of_readme = pages.blocks(pages.README)
    assert sum(block.kind == "python" for block in of_readme) >= 2
    assert sum(len(pages.commands(block)) for block in of_readme if block.kind == "sh") >= 4
    assert sum(len(pages.commands(block)) for block in BLOCKS if block.kind == "sh") >= 20
    assert sum(block.kind == "python" for block in BLOCKS) >= 8
    shown_commands = {pages.commands(block)[-1].split()[1] for block, _ in SHOWN if block.kind == "sh"}
    assert {"run", "stats", "diff", "check"} <= shown_commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fence_is_a_block_that_is_tested(page):
    assert page.read_text().count("```") == 2 * len(pages.blocks(page))
    for block in pages.blocks(page):
        assert block.kind in pages.KINDS, block.place
        if block.kind == "sh":
            n_setup = sum("venv" in line for line in pages.lines(block))
            assert len(pages.commands(block)) >= len(pages.lines(block)) - n_setup, block.place
    texts = [block for block in pages.blocks(page) if block.kind == "text"]
    assert texts == [after for _, after in pages.shows(page)], "an output that follows no command"


@pytest.mark.parametrize("block", RUN, ids=place)
def test_a_block_runs(block, done):
    found = done(block)
    if found.missing:
        pytest.skip(f"no {found.missing} here")
    assert found.status == found.expected, found.stderr
    assert not found.stderr
    assert found.stdout or block.kind == "python" or not pages.commands(block)


@pytest.mark.parametrize("block, output", SHOWN, ids=[after.place for _, after in SHOWN])
def test_a_block_prints_what_is_shown(block, output, done):
    found = done(block)
    if found.missing:
        pytest.skip(f"no {found.missing} here")
    assert pages.without_speed(found.stdout) == pages.without_speed(output.text)


def parsed(command):
    """Raise AssertionError unless a command line of eventsim is one that its parser takes."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            cli.parser().parse_args(shlex.split(command, comments=True)[1:])
        except SystemExit:
            raise AssertionError(f"{command}: {said.getvalue()}") from None


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "console"], ids=place)
def test_commands_that_need_more_are_real(block):
    for line in pages.lines(block):
        words = shlex.split(line, comments=True)
        if words[0] == "eventsim":
            parsed(line)
        elif words[:2] == ["python", "-m"]:
            assert (ROOT / "examples" / words[2] / "__main__.py").is_file(), line
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), line
        else:
            assert words[:2] in (["pip", "install"], ["git", "bisect"]), line


FIRST_DIGITS = (7, 2, 1, 0, 4, 1, 4, 9, 5, 9)  # of MNIST's test images; N-MNIST numbers its recordings as these


def test_recordings_of_n_mnist_are_those_of_the_original():
    named = [(page.name, digit, number) for page in PAGES
             for digit, number in re.findall(r"N-MNIST/Test/(\d)/(\d+)\.bin", page.read_text())]
    assert named
    for page, digit, number in named:
        assert len(number) == 5 and FIRST_DIGITS[int(number) - 1] == int(digit), (page, digit, number)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_sentences_are_real(page):
    text = " ".join(line for _, line in outside_blocks(page))
    for command in re.findall("`(eventsim (?:info|check|run|convert|diff|stats|plot|report|bench|warmup) "
                              "[^`]+)`", text):
        parsed(command)


def test_outputs_are_rewritten_only_where_they_changed(monkeypatch, tmp_path):
    """`shown.py`, of a page whose output is old, of one where only the speed is another, and of one that fails."""
    def page(*blocks):
        path = tmp_path / "page.md"
        fences = [f"```{kind}\n{text}```" for kind, text in blocks]
        path.write_text("\n\n".join(["Words.", *fences]) + "\n")
        return path

    code = "python", "print('1 step, 2.5 k samples/s')\n"
    assert shown.renewed(page(code, ("text", "2 steps\n"))) == page(
        code, ("text", "1 step, 2.5 k samples/s\n")).read_text()
    same = page(code, ("text", "1 step, 99 samples/s\n"))
    assert shown.renewed(same) == same.read_text()
    with pytest.raises(SystemExit, match="page.md:4: ended with 1, expected 0(.|\n)*ZeroDivisionError"):
        shown.renewed(page(("python", "1 / 0\n")))
    stale = page(code, ("text", "2 steps\n"))
    monkeypatch.setattr(pages, "pages", lambda: [stale])
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    assert shown.main(["--check"]) == 1 and "2 steps" in stale.read_text()
    assert shown.main([]) == 0 and "1 step, 2.5 k samples/s" in stale.read_text()
    assert shown.main(["--check"]) == 0


# ---- the README


def test_the_first_lines_set_up_run_and_test():
    assert SETUP[0].startswith("python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/eventsim run ")
    first, output = pages.shows(pages.README)[0]
    assert pages.lines(first) == SETUP[:1] and "% correct" in output.text
    assert SETUP[1].startswith("python3 -m venv ") and SETUP[1].endswith(".venv/bin/pytest")


def test_test_command_is_what_ci_runs():
    script = (ROOT / ".ci" / "run").read_text()
    [grep] = re.findall(r"command=\$\((grep .*) README.md\)", script)
    found = subprocess.run([*shlex.split(grep), str(pages.README)], capture_output=True, text=True)
    assert found.stdout.strip() == SETUP[1]


def test_the_readme_is_short():
    assert len(README.encode()) <= 9216


def test_the_readme_fits_80_columns():
    """But for the set-up lines, which are copied as they are, and what programs print."""
    printed = {block.start: block.text for block in pages.blocks(pages.README) if block.kind == "text"}
    text = README
    for start in sorted(printed, reverse=True):
        text = text[:start] + text[start + len(printed[start]):]
    wide = [line for line in text.splitlines() if len(line) > 80 and line not in SETUP]
    assert not wide


def test_the_readme_has_a_picture_of_the_gallery():
    [picture] = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    path = ROOT / picture
    assert path.is_file() and path.parent == ROOT / "examples" / "gallery" and path.with_suffix(".py").is_file()


def test_the_readme_lists_every_guide():
    assert {page.name for page in GUIDES} <= set(re.findall(r"\]\(examples/guides/(\w+\.md)\)", README))


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_guides_are_wrapped(page):
    long = [number for number, line in outside_blocks(page) if len(line) > 115 and not line.startswith("|")]
    assert not long


# ---- links


def anchor(heading):
    """The name that a heading gets on a page."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


LINKED = [*PAGES, ROOT / "data" / "README.md", *sorted((ROOT / "examples").glob("*/README.md"))]


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join(line for _, line in outside_blocks(page))):
        if target.startswith(("http://", "https://")):
            continue
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert heading in map(anchor, headings), target


# ---- the benchmarks: scripts, what they printed, and what is said about it

BENCHMARKS = (ROOT / "examples" / "benchmarks" / "README.md").read_text()
OUTPUTS = dict(re.findall(r"<!-- output of (\S+) -->\n```text\n(.+?)\n```", BENCHMARKS, re.DOTALL))


def test_every_benchmark_has_its_output():
    assert BENCHMARKS.count("<!-- output of ") == len(OUTPUTS)
    scripts = {path.name: path for path in (ROOT / "examples").rglob("*.py")}
    assert {path.name
            for path in (ROOT / "examples" / "benchmarks").glob("*.py")} <= OUTPUTS.keys() <= scripts.keys()
    for name in OUTPUTS:
        shown = [line for line in BENCHMARKS.splitlines() if f"python {scripts[name].relative_to(ROOT)}" in line]
        assert shown, f"no command for {name}"


def test_floors_are_judged_by_what_was_recorded():
    """The table's ratios are those of the outputs, and it says "yes" only where they reach the floor."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in BENCHMARKS.splitlines()
            if re.match(r"\| (layer|net), ", line)]
    [layer] = re.findall(r"^int8 +10 %.* ([\d.]+) +([\d.]+)$", OUTPUTS["layer.py"], re.MULTILINE)
    net = {name: re.findall(rf"^eventsim {name} .*? ([\d.]+) / ([\d.]+) ", OUTPUTS["network.py"], re.MULTILINE)[0]
           for name in ("int8", "float32")}
    recorded = [layer[:1], layer[1:], net["int8"], net["float32"]]
    assert [re.findall(r"\d+\.\d+", row[1]) for row in rows] == [list(found) for found in recorded]
    for (floor, _, reached), found in zip(rows, recorded):
        times = float(re.search(r": ([\d.]+) times", floor)[1])
        verdict = {(True, True): "yes", (False, True): "at batch 16 only", (False, False): "**no**"}
        assert reached == verdict[float(found[0]) >= times, float(found[-1]) >= times]
