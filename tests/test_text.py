"""Wording: numbers as people read them."""

import math

import pytest

from eventsim.text import (
    aligned_table, did_you_mean, inflected, joule, justified, lines_of, many, n_cells, number, percent, printable,
    quantity, share_decimals, share_percent, shortened, up_to_steps, visible, wrapped,
)


@pytest.mark.parametrize("share, text", (
    (0, "0 %"), (1e-5, "< 0.1 %"), (0.001, "0.1 %"), (0.0984, "9.8 %"), (0.0996, "10 %"), (0.5, "50 %"),
    (0.99, "99 %"), (0.9983, "99.8 %"), (0.99951, "> 99.9 %"), (1 - 1e-9, "> 99.9 %"),
    (1, "100 %"), (1.25, "125 %"),
    (math.nan, "-"), (None, "-"),
))
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize("share, percents, digits", (
    (0, "0.00 %", "0.0000"), (1, "100.00 %", "1.0000"), (0.9967, "99.67 %", "0.9967"), (0.5, "50.00 %", "0.5000"),
    (29_999 / 30_000, "> 99.99 %", "> 0.9999"), (1 / 30_000, "< 0.01 %", "< 0.0001"), (5e-5, "0.01 %", "0.0001"),
    (0.99995, "> 99.99 %", "> 0.9999"), (0.99994, "99.99 %", "0.9999"), (math.nan, "-", "-"), (None, "-", "-"),
))
def test_shares_are_0_and_1_only_where_they_are(share, percents, digits):
    assert (share_percent(share), share_decimals(share, 4)) == (percents, digits)


def test_steps_of_lengths_that_differ():
    assert (up_to_steps(8, 0), up_to_steps(1, False), up_to_steps(8, 3)) == ("8 steps", "1 step", "up to 8 steps")


@pytest.mark.parametrize("value, text", (
    (0, "0"), (12, "12"), (999, "999"), (999.6, "1 k"), (1234, "1.23 k"), (999_999, "1 M"), (34e6, "34 M"),
    (5.2e12, "5.2 T"), (math.nan, "-"), (None, "-"),
))
def test_quantity(value, text):
    assert quantity(value) == text


@pytest.mark.parametrize("value, text", (
    (0, "0 J"), (2e-14, "0.02 pJ"), (3.5e-12, "3.5 pJ"), (9.999e-10, "1 nJ"), (2.71e-6, "2.71 uJ"), (1e-3, "1 mJ"),
    (2, "2 J"), (math.inf, "-"), (None, "-"),
))
def test_joule(value, text):
    assert joule(value) == text


def test_number_and_many():
    assert (number(0.31564), number(math.nan), number(12345.6, 4)) == ("0.316", "-", "1.235e+04")
    assert (many(1, "sample"), many(2, "sample"), many(0, "sample")) == ("1 sample", "2 samples", "0 samples")
    assert [inflected(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]


def test_nothing_steers_a_terminal():
    assert printable("layer\x1b[31m\n\u202e ünï 3") == "layer\\x1b[31m\\n\\u202e ünï 3"
    assert printable("a\udcffb\ud800\x9b\x7f\u2028") == "a\\xffb\\ud800\\x9b\\x7f\\u2028"
    hidden = [chr(c) for c in range(0x110000) if chr(c) not in "\u00a0\u202f" and not chr(c).isprintable()]
    assert {"\x1b", "\t", "\r", "\xad", "\u200b", "\u2066", "\ud800"} < set(hidden)
    assert printable("".join(hidden)).isprintable()


def test_text_of_several_lines_fits_its_stream():
    text = "a\x1b[2J\nünï \u202e\r\n"
    assert visible(text) == "a\\x1b[2J\nünï \\u202e\\r\n"
    assert visible(text, "ascii") == "a\\x1b[2J\n\\xfcn\\xef \\u202e\\r\n"
    assert visible(text, "no such") == visible(text, "ascii")


# ---- tables


COLUMNS = ("layer", "kind", "rate", "settings")
ROWS = [("conv1", "Conv2d", "0.25", "padding 1x1, stride 2x2, dilation 3x3"), ("a_long_name", "Dense", "-", "")]


def table(**options):
    return aligned_table(COLUMNS, ROWS, left=("settings",), **options).splitlines()


def test_a_table_without_a_width_is_whole():
    head, rule, first, second = table()
    assert head == "layer          kind  rate  settings" and rule.split() == ["-" * 11, "-" * 6, "-" * 4, "-" * 37]
    assert first == "conv1        Conv2d  0.25  padding 1x1, stride 2x2, dilation 3x3"
    assert second == "a_long_name   Dense     -"


@pytest.mark.parametrize("width", range(8, 70))
def test_a_table_fits_its_width(width):
    lines = table(width=width, drop=("kind", "rate"))
    assert max(map(len, lines)) <= width
    kept = lines[0].split()
    gone = " ".join(lines[4:])
    assert all((name in kept) != (name in gone) for name in COLUMNS[1:] if name != "settings" or width > 20)


def test_columns_are_left_out_in_the_order_stated_after_text_is_cut():
    cut = table(width=50, drop=("kind", "rate"))
    assert len(cut) == 4 and cut[2] == "conv1        Conv2d  0.25  padding 1x1, stride 2.."
    assert table(width=40, drop=("kind", "rate"))[-1] == "left out, for 40 columns: kind"
    assert table(width=40, drop=("rate", "kind"))[-1] == "left out, for 40 columns: kind, rate"


WIDE = "\u5c42" * 16  # 32 cells
MARKED = "e\u0301" * 10  # 10 cells


@pytest.mark.parametrize("text, n",
                         (("", 0), ("conv1", 5), (WIDE, 32), (MARKED, 10), ("\uff21b", 3), ("\u3099", 0)))
def test_cells_of_a_terminal(text, n):
    assert n_cells(text) == n
    assert justified(text, 40).startswith(text) and justified(text, 40, True).endswith(text)
    assert n_cells(justified(text, 40)) == n_cells(justified(text, 40, True)) == 40


@pytest.mark.parametrize("text", ("x" * 40, WIDE, MARKED * 4, WIDE + "x" + WIDE))
def test_what_is_cut_fits_its_cells(text):
    for width in range(3, 30):
        short = shortened(text, width)
        assert width - 1 <= n_cells(short) <= width and short.endswith("..") and text.startswith(short[:-2])
    assert shortened(text, 200) == text


@pytest.mark.parametrize("width", range(12, 60))
def test_a_table_of_wide_names_fits_its_width_and_stays_aligned(width):
    for name in (WIDE, MARKED, "x" + WIDE):
        rows = [(name, "Conv2d", "0.25"), ("conv", "Dense", "1")]
        lines = aligned_table(("layer", "kind", "rate"), rows, width).splitlines()
        assert max(map(n_cells, lines)) <= width
        several = len(lines[0].split()) > 1  # columns; those behind the first stand to the right
        assert not several or n_cells(lines[0]) == n_cells(lines[2]) == n_cells(lines[3])


@pytest.mark.parametrize("width", range(4, 60))
def test_running_text_of_wide_characters_fits_its_width(width):
    text = f"one {WIDE} {MARKED} two {WIDE}{WIDE}"
    lines = wrapped(text, width, "  ").split("\n")
    assert max(map(n_cells, lines)) <= width
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert max(map(n_cells, lines_of(text, width, max_lines=2, placeholder=" .."))) <= width


def test_running_text_is_wrapped_line_by_line():
    assert wrapped("one two three\nfour", 8, "  ") == "one two\n  three\nfour"
    assert wrapped("one two three", None) == "one two three"


def test_the_nearest_word():
    assert did_you_mean("spike", ("spikes", "outputs")) == "; did you mean 'spikes'?"
    assert did_you_mean("xyz", ("spikes", "outputs")) == "" == did_you_mean("a", ())
