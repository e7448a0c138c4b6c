"""The page: everything a run has in one file that loads nothing, safe against hostile names; in a browser
without an error, sortable by mouse and keyboard, and no wider than the screen."""

import base64
import dataclasses
import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest

import browser
from document import Document
from eventsim.report import findings, page
from eventsim.report.page import figures, sections
from eventsim.report.page.definitions import DEFINITIONS
from eventsim.display.markup import element, joined, Markup
from made_runs import energy, healthy, membranes, run

HOSTILE = '<script>alert("1")</script>\'"&<img src=http://example.org/x onerror=alert(1)>]]>--></style></title>\n'
LOADING = ("src", "href", "srcset", "data", "action", "poster", "background", "formaction")


def hostile_run():
    """Every name and every text is an attack."""
    rng = np.random.default_rng(0)
    names = [f"{HOSTILE}{i}" for i in range(3)]
    made = run(
        {name: (rng.random((16, 4, 2, 4, 4)) < rate).astype(int) for name, rate in zip(names, (0.3, 0.0, 0.4))},
        rng.random((16, 3)), labels=rng.integers(0, 3, 16), class_names=[f"{HOSTILE}{i}" for i in "abc"],
        membranes={names[1]: membranes([0, 0, 0, 0], [0, 0, 0, 0], n_not_finite=1)},
        energy={**energy(**{names[2]: (2e-8, 1e-8, 0.4, 0.2)}), "table": HOSTILE, "baseline": HOSTILE},
        conventions={"tools": {HOSTILE: {HOSTILE: {"unit": HOSTILE, "differs": HOSTILE, "total": 1.5}}}},
        chip=HOSTILE,
    )
    summary = made.summary
    made.summary = replace(
        summary, model=HOSTILE, data=HOSTILE, precision=HOSTILE,
        made=replace(summary.made, **dict.fromkeys(vars(summary.made), HOSTILE)),
        nodes=tuple(replace(node, reads=(HOSTILE,), settings={HOSTILE: HOSTILE}) for node in summary.nodes))
    made.path = HOSTILE
    return made


def deep_run(n_layers=40):
    rng = np.random.default_rng(0)
    levels = {f"stage{i // 10}.block{i}.neuron": (rng.random((2, 4, 16, 8, 8)) < 0.2).astype(int)
              for i in range(n_layers)}
    return run(levels, rng.random((2, 10)), labels=[1, 2], membranes={
        name: membranes([0, 0.1, 0.2, 0.3], [0.5, 0.6, 0.7, 0.8]) for name in list(levels)[1:]})


RUNS = {
    "healthy": lambda: healthy(class_names=("cat", "dog", "fish", "owl")),
    "faults": lambda: healthy(
        levels={"first": np.zeros((64, 8, 8, 6, 6), int)}, energy=energy(second=(4e-8, 3e-8, 0.3, 0.2))),
    "unlabelled": lambda: healthy(labels=None),
    "hostile": hostile_run,
    "deep": deep_run,
}
PAGES = {}


@pytest.fixture(params=RUNS)
def rendered(request):
    """(run, page) of each kind, rendered once."""
    if request.param not in PAGES:
        made = RUNS[request.param]()
        PAGES[request.param] = made, page.render(made)
    return PAGES[request.param]


def rendered_page(name):
    if name not in PAGES:
        made = RUNS[name]()
        PAGES[name] = made, page.render(made)
    return PAGES[name][1]


# ---- markup


def test_text_is_escaped_and_markup_is_not():
    assert element("p", "<b>&\"'") == "<p>&lt;b&gt;&amp;&quot;&#x27;</p>"
    assert element("p", element("b", "x"), None, 3) == "<p><b>x</b>3</p>"
    assert element("a", href='"><script>') == '<a href="&quot;&gt;&lt;script&gt;"></a>'
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    given = dict(class_="a", data_value=0, hidden=True, title=None, open=False)
    assert element("p", **given) == '<p class="a" data-value="0" hidden></p>'
    assert joined(["<", Markup("<")]) == "&lt;<"


# ---- one file that loads nothing


def test_the_page_is_whole_html(rendered):
    document = Document(rendered[1])
    assert rendered[1].startswith("<!DOCTYPE html>\n<html lang=\"en\">")
    assert document.open == []
    assert len(document.all("h1")) == 1 and len(document.all("main")) == 1
    ids = [attributes["id"] for _, attributes, _ in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name, attributes, _ in document.all("a"):
        assert attributes["href"].startswith("#") and attributes["href"][1:] in ids
    assert not [e for e in document.elements if e[0] == "section" and e[1]["aria-labelledby"] not in ids]
    assert all("alt" in attributes for _, attributes, _ in document.all("img"))
    assert all(attributes.get("aria-label") for _, attributes, _ in document.all("svg"))


def test_nothing_is_loaded(rendered):
    for name, attributes, text in Document(rendered[1]).elements:
        assert name not in ("iframe", "object", "embed", "base", "form", "video", "audio", "source")
        for key, value in attributes.items():
            local = key.split(":")[-1]
            assert not local.startswith("on"), (name, key)
            if local in LOADING:
                assert value.startswith(("#", "data:")), (name, key, value[:80])
            if local == "style":
                assert "url(" not in value.replace("url(#", "") and "@import" not in value
        if name == "style":
            assert "@import" not in text and "url(" not in text and "@font-face" not in text
    assert "<!ENTITY" not in rendered[1]


def test_only_its_own_script_may_run(rendered):
    document = Document(rendered[1])
    [script] = document.all("script")
    [policy] = [attributes["content"] for _, attributes, _ in document.all("meta")
                if attributes.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(script[2].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "http" not in policy and "*" not in policy
    assert "connect-src" not in policy and "font-src" not in policy


def test_the_page_is_small(rendered):
    assert len(rendered[1].encode()) < 2_000_000


def test_hostile_names_stay_text():
    made, text = PAGES.setdefault("hostile", (hostile_run(), None))
    text = text or page.render(made)
    PAGES["hostile"] = made, text
    assert "<script>alert" not in text and "<img src=http" not in text
    assert text.count("</style>") == text.count("</title>") - text.count("<svg") == 1
    document = Document(text)
    assert not [e for e in document.all("img") if "onerror" in e[1]]
    assert '<script>alert("1")</script>' in document.text  # shown as it is


def test_two_pages_of_a_run_are_the_same():
    assert page.render(healthy()) == page.render(healthy())


# ---- what it says


def test_one_wrong_of_many_is_not_all():
    labels = np.zeros(60_000, int)
    labels[7] = 1
    made = dataclasses.replace(healthy(), labels=labels, output=np.tile([1.0, 0.0], (60_000, 1)))
    assert sections._accuracy(made) == "> 99.99 %"
    labels[7] = 0
    assert sections._accuracy(made) == "100.00 %"


def test_the_result_is_one_sentence():
    made = healthy(n=64)
    right = int((made.predictions == made.labels).sum())
    text = sections.result(made)
    assert text.startswith(
        f"{right} of 64 samples ({100 * right / 64:.2f} %) are predicted correctly in 8 steps of float32.")
    assert "no labels" in sections.result(healthy(labels=None))
    assert sections.title(made) == "net.h5 on data.h5"


def test_the_mean_firing_rate_is_that_of_the_neurons():
    """Bright pixels do not fire, and pools send on what others sent."""
    made = healthy(levels={"input": np.ones((64, 8, 1, 6, 6), int), "pool": np.ones((64, 8, 8, 3, 3), int)})
    trains = [made.statistics.trains[name] for name in ("first", "second")]
    rate = sum(train.events.sum() for train in trains) / sum(train.n_neurons * train.chances for train in trains)
    text = Document(sections.numbers(made)).text
    assert f"mean firing rate of the neurons{rate:.3g}" in "".join(text.split("\n")).replace("neurons ", "neurons")


def test_every_finding_is_said():
    made = RUNS["faults"]()
    found = findings.find(made)
    assert {f.kind for f in found} == {"dead_layer", "denser_than_crossing"}
    text = Document(rendered_page("faults")).text
    for finding in found:
        assert finding.sentence in text and finding.remedy in text


def test_many_findings_of_a_kind_are_told_in_short():
    found = [findings.Finding("dead_layer", f"layer{i}", f"layer{i} is dead.", "Remedy.") for i in range(20)]
    for n, sentences in ((1, 1), (2, 2), (4, 4), (5, 3), (20, 3)):
        text = Document(sections.findings(healthy(), found[:n])).text
        assert text.count("is dead.") == sentences and text.count("Remedy.") == 1
        assert all(f"layer{i}" in text for i in range(n)) and f"layer{n}" not in text


def test_no_finding_is_said_of_what_was_examined_only():
    made = healthy()
    assert "Nothing found in spikes, membranes, predictions and energy of 64 samples." in Document(
        sections.findings(made, [])).text
    made.summary = replace(made.summary, energy=None)
    made.statistics.membranes.clear()
    assert "nothing about membranes and energy" in Document(sections.findings(made, [])).text


def test_layers_with_findings_are_marked():
    made = RUNS["faults"]()
    document = Document(sections.layers(made, findings.find(made)))
    marks = [(a["class"], a["aria-label"]) for _, a, text in document.all("span") if text == "!"]
    assert marks == [("mark fault", "fault: a layer that never fires"),
                     ("mark warning", "warning: event-driven costs more than dense")]


def test_every_layer_and_its_numbers_are_in_the_table():
    made = healthy()
    document = Document(sections.layers(made, []))
    rows = [text for _, a, text in document.all("th") if a.get("scope") == "row"]
    assert rows == ["input", "first", "pool", "second", "readout", "total"]
    values = [a["data-value"] for _, a, _ in document.all("td") if "data-value" in a]
    assert f"{made.statistics.trains['first'].rate:.9g}" in values
    heads = [text for _, a, text in document.all("th") if a.get("scope") == "col"]
    assert heads[:4] == ["layer", "kind", "neurons", "rate"] and "MACs" not in heads and "ANN energy" in heads


def test_definitions_are_folded_away():
    document = Document(rendered_page("healthy"))
    assert all("open" not in a for _, a, _ in document.all("details"))
    for found in DEFINITIONS.values():
        for one in found:
            assert one.term in document.text and one.meaning in document.text and one.source in document.text


def test_how_it_was_run_is_told():
    text = Document(rendered_page("healthy")).text
    for part in ("eventsim run net.h5 data.h5 --out made.h5", "numba 0.60.0", "a processor",
                 "2026-01-02T03:04:05"):
        assert part in text


def test_plots_that_the_run_lacks_say_how_to_get_them():
    text = Document(rendered_page("healthy")).text
    assert "Plots that this run has nothing for" in text and "--record spikes" in text


def test_levels_are_drawn_of_layers_that_have_several():
    made = healthy()
    levels = next(picture for picture in figures.pictures(made)[0] if picture.kind == "levels")
    assert "second" in levels.content and "first" not in levels.content  # of two bits, of one
    shown, missing = figures.pictures(healthy(bits={"second": 1}, levels={"second": np.zeros((64, 8, 40), int)}))
    assert "planes" not in {picture.kind for picture in shown}
    assert "of one bit" in dict(missing)["planes"]


def test_every_kind_of_plot_has_a_caption():
    from eventsim import plots

    assert set(figures.CAPTIONS) == set(plots.KINDS)


def test_a_large_drawing_becomes_pixels(monkeypatch):
    monkeypatch.setattr(figures, "LARGEST_SVG", 10)
    shown, _ = figures.pictures(healthy())
    assert shown and all(picture.content.startswith('<img src="data:image/png;base64,') for picture in shown)


def test_what_does_not_fit_is_left_out_by_name(monkeypatch):
    monkeypatch.setattr(figures, "LARGEST", 30_000)
    shown, missing = figures.pictures(healthy())
    assert sum(len(picture.content) for picture in shown) <= 30_000
    assert any("too large for one page; run eventsim plot made.h5" in reason for _, reason in missing)


# ---- in a browser

needs_browser = pytest.mark.skipif(not (browser.CHROMIUM and browser.DRIVER),
                                   reason="needs chromium and chromedriver")


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser.Browser(tmp_path_factory.mktemp("chip")) as opened:
        yield opened


@pytest.fixture
def opened(window, tmp_path):
    def call(name, width=1280, scheme="light"):
        path = tmp_path / "report.html"
        path.write_text(rendered_page(name))
        window.run("location.href = 'about:blank'")
        window.view(width, scheme=scheme)
        window.logs("performance"), window.logs("browser")
        window.open(path)
        return window

    return call


@needs_browser
@pytest.mark.parametrize("name", RUNS)
def test_no_console_message_and_no_request(opened, name):
    seen = opened(name)
    seen.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert seen.logs("browser") == []
    asked = [message["params"]["request"]["url"] for message in seen.logs("performance")
             if message["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [seen.run("return location.href")]


@needs_browser
def test_the_policy_would_stop_a_request(opened):
    """The test above can fail, and the policy holds."""
    seen = opened("healthy")
    seen.run("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    seen.run("const s = document.createElement('script'); s.textContent = 'window.hit = 1'; "
             "document.body.append(s)")
    assert seen.run("return window.hit === undefined")
    assert len([line for line in seen.logs("browser") if "Content Security Policy" in line["message"]]) >= 2


@needs_browser
@pytest.mark.parametrize("name", ("healthy", "hostile", "deep"))
@pytest.mark.parametrize("width", (360, 390, 768, 1280))
def test_the_page_is_never_wider_than_the_screen(opened, name, width):
    seen = opened(name, width)
    seen.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert seen.run("return document.documentElement.scrollWidth") <= width


@needs_browser
def test_the_first_column_stays_when_a_table_scrolls(opened):
    seen = opened("healthy", 360)
    moved = seen.run("""
        const box = document.querySelector('#layers .scroll'), cell = box.querySelector('tbody th');
        box.scrollIntoView();
        const before = cell.getBoundingClientRect().left;
        box.scrollLeft = 200;
        return [box.scrollLeft, cell.getBoundingClientRect().left - before];""")
    assert moved == [200, 0]


ROWS = "return Array.from(document.querySelectorAll('#layers tbody th'), cell => cell.firstChild.textContent)"


def press(seen, heading, key=None):
    seen.run("Array.from(document.querySelectorAll('#layers thead button')).find("
             "b => b.textContent === arguments[0]).focus()", heading)
    if key is None:
        seen.run("document.activeElement.click()")
    else:
        seen.press(key)
    return seen.run(ROWS)


@needs_browser
@pytest.mark.parametrize("key", (None, "\ue007", " "))  # a click, Enter, the space bar
def test_columns_sort_down_up_and_back(opened, key):
    seen = opened("healthy")
    given = ["input", "first", "pool", "second", "readout"]
    assert seen.run(ROWS) == given
    rates = {name: train.rate for name, train in PAGES["healthy"][0].statistics.trains.items()}
    down = sorted(rates, key=rates.get, reverse=True)
    state = "return Array.from(document.querySelectorAll('#layers thead th'), h => h.getAttribute('aria-sort'))[3]"
    assert press(seen, "rate", key) == [*down, "readout"] and seen.run(state) == "descending"
    assert press(seen, "rate", key) == [*down[::-1], "readout"] and seen.run(state) == "ascending"
    assert press(seen, "rate", key) == given and seen.run(state) is None
    assert press(seen, "layer", key) == sorted(given)
    assert press(seen, "layer", key) == sorted(given)[::-1]
    assert seen.run("return document.querySelector('#layers tfoot th').textContent") == "total"
    assert seen.run("return document.querySelectorAll('[aria-sort]').length") == 1


@needs_browser
def test_classes_sort_by_their_names(opened):
    seen = opened("healthy")
    seen.run("document.querySelectorAll('#plots details').forEach(d => { d.open = true; })")
    rows = seen.run("""
        const table = document.querySelector('#plots details table');
        table.querySelector('thead button').click();
        table.querySelector('thead button').click();
        return Array.from(table.querySelectorAll('tbody th'), cell => cell.textContent);""")
    assert rows == ["owl", "fish", "dog", "cat"]


@needs_browser
def test_without_javascript_everything_is_there(opened):
    seen = opened("healthy")
    seen.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        seen.open(seen.run("return location.pathname"))
        found = seen.run(
            "return [document.querySelectorAll('th button').length, document.querySelectorAll('tbody tr').length]")
    finally:
        seen.devtools("Emulation.setScriptExecutionDisabled", value=False)
    assert found[0] == 0 and found[1] > 5


@needs_browser
def test_dark_and_light_differ_and_are_readable(opened):
    colours = {}
    for scheme in ("light", "dark"):
        seen = opened("faults", scheme=scheme)
        colours[scheme] = seen.run("""
            const of = (e, k) => getComputedStyle(e)[k];
            const ground = of(document.body, 'backgroundColor');
            return ['body', '.quiet', 'a', 'figcaption', 'tbody td'].map(s => document.querySelector(s))
                .map(e => [of(e, 'color'), ground])
                .concat(Array.from(document.querySelectorAll('.findings b, .findings p, .findings ul li'),
                                   e => [of(e, 'color'), of(e.closest('.findings > li'), 'backgroundColor')]),
                        [document.querySelector('figure svg text')].map(e => [of(e, 'fill'), ground]),
                        [document.querySelector('.numbers dt')].map(
                            e => [of(e, 'color'), of(e.parentElement, 'backgroundColor')]));
        """)
        for pair in colours[scheme]:
            assert contrast(*pair) >= 4.5, (scheme, pair)  # WCAG 2.2, 1.4.3
    assert colours["light"][0] != colours["dark"][0]


def contrast(a, b):
    """WCAG's ratio of two colours rgb(r, g, b)."""
    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@needs_browser
def test_paper_is_light_unfolded_and_holds_every_table(opened, tmp_path):
    seen = opened("healthy", scheme="dark")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    seen.devtools("Emulation.setEmulatedMedia", media="", features=dark)
    seen.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert seen.run("return document.querySelectorAll('details[open]').length") == 0  # folded again
    seen.view(700, scheme="dark", media="print")
    seen.run("window.dispatchEvent(new Event('beforeprint'))")
    assert seen.run("return document.querySelectorAll('details:not([open])').length") == 0
    assert seen.run("return getComputedStyle(document.body).color") == "rgb(29, 33, 38)"
    wide = seen.run("return Array.from(document.querySelectorAll('.scroll'), b => b.scrollWidth - b.clientWidth)")
    assert max(wide) <= 1
