"""Output: pictures as files, and as fragments of a page that follow its light and dark themes."""

import base64
import io
import re
import struct
import warnings
import xml.etree.ElementTree as ElementTree
import zlib
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from eventsim.arguments import instance_of, path_of, shown
from eventsim.errors import DataError
from eventsim.plots import style
from eventsim.storage.writing import write_file

# What matplotlib would add to a file and what would differ from day to day.
METADATA = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
PREFIX = re.compile(r"[A-Za-z][\w.:-]*", re.ASCII)  # of an id
SMOOTHING = 16  # of 255, by which the rare colours of smoothed edges may change in a PNG
FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
VARIABLES = {
    style.FOREGROUND: f"var(--figure-foreground, {style.FOREGROUND})",
    style.GRID: f"var(--figure-grid, {style.GRID})",
}
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def save_figure(figure: Figure, path) -> None:
    """Write a figure as PNG, SVG or PDF, as the suffix says.

    The file appears complete or not at all, and is the same bytes each time. Raises DataError for
    another suffix and where writing fails.
    """
    instance_of(figure, Figure, "figure", "a Figure of matplotlib")
    path = Path(path_of(path))
    suffix = path.suffix.lower()
    if suffix not in METADATA:
        kind = repr(suffix) if suffix else "without a suffix"
        raise DataError(f"{path}: pictures are written as .png, .svg or .pdf, not {kind}; name it {path.stem}.png")
    content = _drawn(figure, suffix)
    if suffix == ".png":
        content = _with_palette(np.round(255 * imread(io.BytesIO(content))).astype(np.uint8), SMOOTHING) or content
    write_file(path, content)


def _drawn(figure, suffix) -> bytes:
    buffer = io.BytesIO()
    with style.settings(), warnings.catch_warnings():
        # In pictures such a glyph is a box, which says as much; a browser has fonts of its own.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format=suffix[1:], metadata=METADATA[suffix])
    return buffer.getvalue()


def svg(figure: Figure, prefix: str = "figure") -> str:
    """A figure as an <svg> element to put into an HTML page.

    prefix: begins every id of the fragment; give each figure of a page its own. Text stays text, in
    the reader's fonts. Text, axes and grid take the page's `--figure-foreground` and `--figure-grid`;
    the background is the page's. It fills the width it is given and refers to nothing outside.
    """
    instance_of(figure, Figure, "figure", "a Figure of matplotlib")
    if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix):
        raise DataError(f"prefix is {shown(prefix)}, expected a letter, then letters, digits, and any of -_.:")
    text = _drawn(figure, ".svg").decode()
    root = ElementTree.fromstring(text)
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style") or child.get("id") == "patch_1":
                parent.remove(child)  # the style would hold for the whole page; patch_1 is the background
    used = {name: f"{prefix}-{i}" for i, name in enumerate(_referenced(root))}
    for element in root.iter():
        _tidy(element, used)
    _unwrapped(root)
    label = figure.get_label() or prefix
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("width", "100%")
    root.set("role", "img")
    root.set("aria-label", label.replace("?\n", "? ").replace(".\n", ". ").replace("\n", ". "))
    root.set("style", f"stroke-linejoin: round; stroke-linecap: butt; max-width: 100%; height: auto; "
             f"fill: {style.FOREGROUND}; font-size: {style.SMALL}px; font-family: {FONTS}")
    title = ElementTree.Element("title")
    title.text = label.split("\n")[0]
    root.insert(0, title)
    fragment = ElementTree.tostring(root, encoding="unicode")
    for colour, variable in VARIABLES.items():
        fragment = fragment.replace(colour, variable)
    return re.sub(r">\s+<", "><", fragment)


def _referenced(root):
    """Names that something in the drawing points at, in order of appearance."""
    names = {}
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == LINK and value.startswith("#"):
                names[value[1:]] = None
            for name in re.findall(r"url\(#([^)]+)\)", value):
                names[name] = None
    return names


def _tidy(element, used):
    """Drop namespaces and names nobody points at, rename the others, shorten numbers."""
    element.tag = element.tag.replace(SVG, "")
    for key, value in list(element.attrib.items()):
        if key == "id":
            del element.attrib[key]
            if value in used:
                element.set("id", used[value])
        elif key == LINK:
            del element.attrib[key]
            element.set("href", "#" + used[value[1:]] if value.startswith("#") else _smaller(value))
        elif "url(#" in value:
            element.set(key, re.sub(r"url\(#([^)]+)\)", lambda match: f"url(#{used[match[1]]})", value))
        elif key in ("x", "y"):
            element.set(key, re.sub(r"-?\d+\.\d{3,}", _rounded, value))
        elif key == "d":
            element.set(key, _shortened(re.sub(r"-?\d+\.\d{3,}", _rounded, value).split()))
        elif key == "transform" and value.startswith("rotate(-0 "):
            del element.attrib[key]
        elif key == "style":
            value = re.sub(r"font-family:[^;]*(; )?", "", value)
            if element.tag == "text":  # what the root says need not be said again
                value = value.replace(f"; fill: {style.FOREGROUND}", "").replace(f"fill: {style.FOREGROUND}", "")
            value = re.sub(r"font: (?:(\d+) )?([\d.]+px) [^;]*", _sized, value)
            words = [word for word in value.split("; ") if word and word != f"font-size: {style.SMALL}px"]
            element.set(key, ";".join(words).replace(": ", ":"))


def _shortened(words):
    """A path; a line along an axis needs one number."""
    path, point, i = [], (None, None), 0
    while i < len(words):
        command = words[i]
        if command not in ("M", "L"):  # curves and ends of paths stay as they are
            path.append(command)
            i += 1
            if re.match(r"[\d.-]", command):
                point = (None, None)
            continue
        x, y = words[i + 1 : i + 3]
        if command == "L" and x == point[0]:
            path.append("V" + y)
        elif command == "L" and y == point[1]:
            path.append("H" + x)
        else:
            path.append(f"{command}{x} {y}")
        point, i = (x, y), i + 3
    return " ".join(path)


def _unwrapped(parent):
    """Take away groups that say nothing, and leave what is in them."""
    children = []
    for child in parent:
        _unwrapped(child)
        plain = child.tag == "g" and not child.attrib
        children += list(child) if plain else [child]
    parent[:] = children


def _sized(match):
    """The weight and size of a font; its family is the root's."""
    weight = f"font-weight: {match[1]}; " if match[1] else ""
    return f"{weight}font-size: {match[2]}"


def _rounded(match):
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


PNG = "data:image/png;base64,"


def _smaller(address):
    """An embedded PNG with a palette, where it has at most 256 colours: a quarter of the size."""
    image = imread(io.BytesIO(base64.b64decode(address.removeprefix(PNG))))
    content = _with_palette(np.round(255 * image).astype(np.uint8), 0)
    return address.replace("\n", "") if content is None else PNG + base64.b64encode(content).decode()


def _with_palette(pixels, tolerance):
    """A PNG of uint8 (y, x, 4) with at most 256 colours; None where a colour would change by more than
    `tolerance` in red, green, blue or opacity. The 128 most frequent colours stay as they are."""
    colours, index, counts = np.unique(
        np.ascontiguousarray(pixels).view(">u4").ravel(), return_inverse=True, return_counts=True)
    if len(colours) > (256 if tolerance == 0 else 4096):
        return None
    parts = np.ascontiguousarray(colours).view(np.uint8).reshape(-1, 4).astype(np.int16)
    kept = list(np.argsort(-counts, kind="stable")[:128])
    apart = np.abs(parts[:, None] - parts[kept][None]).max(axis=2).min(axis=1)
    while len(kept) < min(256, len(colours)):  # then, one by one, the colour that is farthest from all kept
        kept.append(int(apart.argmax()))
        apart = np.minimum(apart, np.abs(parts - parts[kept[-1]]).max(axis=1))
    if apart.max() > tolerance:
        return None
    nearest = np.abs(parts[:, None] - parts[kept][None]).max(axis=2).argmin(axis=1)
    height, width = pixels.shape[:2]
    lines = nearest[index.ravel()].reshape(height, width).astype(np.uint8)
    lines = np.pad(lines, ((0, 0), (1, 0)))  # each line begins with 0: not filtered
    table = parts[kept].astype(np.uint8)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", table[:, :3].tobytes()),
        *([] if table[:, 3].min() == 255 else [(b"tRNS", table[:, 3].tobytes())]),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
