"""The command `stats`: the statistics of a run file, as tables."""

import os
from itertools import islice
from pathlib import Path

from eventsim.cli.arguments import add_layers, add_output, add_run, check_suffix, opened, output_group
from eventsim.cli.screen import print_marked, SEVERITIES, width
from eventsim.errors import DataError
from eventsim.storage.json_fields import json_text
from eventsim.text import printable, wrapped

PRINTED = ("findings", "layers")  # tables of `stats` unless it is told otherwise
LARGE = ("neurons", "correlations")  # tables of as many rows as there are neurons: in files, or when named
SHOWN = ("layer", "kind", "neurons", "rate", "silent_share", "saturated_share", "mean_level", "entropy", "cv",
         "fano", "synops", "additions", "dense_macs", "energy", "ann_energy")  # columns of the table of layers
LEFT_OUT = ("entropy", "cv", "fano", "saturated_share", "mean_level", "silent_share", "kind", "synops",
            "lowest", "highest", "error", "mean_first", "rms_first")  # columns, where they do not fit
MOST_ROWS = 50  # of a table printed for people


def add_parser(commands):
    """Add `stats` to the subparsers."""
    stats = commands.add_parser(
        "stats", usage="eventsim stats [options] RUN", help="print or export the statistics of a run",
        description="Print the result, findings and the table of layers, or the tables named: run, findings, "
                    "layers, levels, planes, steps, rates, membranes, intervals, correlations, classes, "
                    "class_rates, confusion, neurons, samples. Without names --csv and --npz write all, and "
                    "--json prints all but neurons and correlations.",
        examples=("eventsim stats run.h5", "eventsim stats run.h5 --table rates --layer conv1",
                  "eventsim stats run.h5 --csv tables"),
    )
    stats.set_defaults(run=run_stats)
    group = stats.add_argument_group("what is shown")
    add_run(group)
    group.add_argument("--table", action="append", default=[], metavar="NAME", help="this table; repeat for more")
    add_layers(group)
    target = stats.add_argument_group("what is written").add_mutually_exclusive_group()
    target.add_argument("--csv", type=Path, metavar="DIR",
                        help="each table to DIR/NAME.csv, the units of columns to DIR/columns.csv; tables of an "
                             "earlier export to DIR are replaced, and those that this run does not have removed; "
                             "a file of yours that has the name of one is refused")
    target.add_argument("--npz", type=Path, metavar="FILE", help="the tables as NumPy structured arrays")
    add_output(output_group(stats))


def run_stats(arguments):
    """eventsim stats RUN"""
    from eventsim.report import tables
    from eventsim.storage import writing

    writing.spare(arguments.npz, arguments.model)
    check_suffix(arguments.npz, "an archive of arrays", ".npz")
    for name in () if arguments.csv is None else (*tables.TABLES, "columns"):
        writing.spare(arguments.csv / f"{name}.csv", arguments.model)
    exports = arguments.json or arguments.csv is not None or arguments.npz is not None
    with opened(arguments.model) as run:
        names = arguments.table or PRINTED
        if exports and not arguments.table:
            to_file = arguments.csv is not None or arguments.npz is not None
            names = [name for name in tables.TABLES if to_file or name not in LARGE]
        found = {name: tables.table(run, name, arguments.layer) for name in dict.fromkeys(names)}
        if exports and not arguments.table:
            found = {name: table for name, table in found.items() if len(table)}
        written = _export(found, arguments)
        if arguments.json:
            print(json_text({"run": arguments.model, **({"written": written} if written else {
                "tables": {name: table.as_json() for name, table in found.items()}})}))
        elif written:
            print("\n".join(written))
        else:
            head = [] if arguments.table else [_head(run)]
            printed = [*head, *(_printed(name, table, run) for name, table in found.items())]
            print_marked("\n".join(printed).rstrip(), SEVERITIES)
    return 0


def _head(run):
    """What was run, and the result."""
    from eventsim.report.page.sections import result
    from eventsim.report.text import WIDTH

    columns = width() or WIDTH
    names = " on ".join(printable(name) for name in (run.summary.model, run.summary.data) if name)
    return f"{wrapped(names or run.path, columns)}\n{wrapped(result(run), columns)}\n"


def _printed(name, table, run):
    """A table for people: findings as sentences, facts as lines, of layers the columns that fit."""
    from eventsim.report.text import findings_text

    if name == "findings":
        return findings_text([dict(zip(table.columns, row)) for row in table.rows], width())
    if not len(table):
        return f"{run.path}: nothing for the table {name}\n"
    if name == "run":
        return "".join(f"{wrapped(printable(f'{fact}: {value}'), width())}\n" for fact, value in table.rows)
    if name == "layers":
        table = table.of(SHOWN)
    return f"{wrapped(table.title, width())}\n\n{table.as_text(MOST_ROWS, width(), LEFT_OUT)}"


def _export(found, arguments):
    """Paths written, in order."""
    import io

    import numpy as np

    from eventsim.storage import writing

    if arguments.csv is not None:
        exported = _exported(arguments.csv)
        earlier = {name: rows for name, rows in exported.items() if name not in found}
        texts = {name: table.as_csv() for name, table in found.items()}
        texts["columns"] = _columns(found, earlier if arguments.table else {}).as_csv()
        contents = {arguments.csv / f"{name}.csv": text.encode() for name, text in texts.items()}
        _spare_foreign({path: text.decode() for path, text in contents.items() if path.stem not in exported})
        with writing.new_folder(arguments.csv):
            writing.write_files(contents)
        _settle(earlier, arguments)
        return list(map(str, contents))
    if arguments.npz is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{name: table.as_arrays() for name, table in found.items()})
        writing.write_file(arguments.npz, buffer.getvalue())
        return [str(arguments.npz)]
    return []


def _exported(folder):
    """Tables of an earlier export to a folder that are still there as it wrote them: name -> rows of its columns.csv.
    A file that only has the name of one of our tables is none."""
    from eventsim.report.tables import TABLES

    found = {}
    for row in _rows_of(folder / "columns.csv")[1:]:
        if len(row) == 3 and row[0] in TABLES:
            found.setdefault(row[0], []).append(tuple(row))
    return {name: rows for name, rows in found.items()
            if _rows_of(folder / f"{name}.csv", 1) == [[column for _, column, _ in rows]]}


def _rows_of(path, most=None):
    """Rows of a CSV file, at most so many; none of what cannot be read."""
    import csv

    try:
        with open(path, encoding="utf-8", newline="") as file:
            return list(islice(csv.reader(file), most))
    except (OSError, ValueError, csv.Error):
        return []


def _spare_foreign(texts):
    """Raise DataError where a file is there that is about to be replaced and has another header than ours, so that
    somebody else wrote it. texts: path -> what it will hold, of those that no earlier export is known to have
    written."""
    import csv

    for path, text in texts.items():
        if os.path.lexists(path) and _rows_of(path, 1) != list(islice(csv.reader(text.splitlines()), 1)):
            raise DataError(f"{path}: was not written by eventsim, and would be replaced: give another folder, or "
                            "move it away")


def _settle(earlier, arguments):
    """Remove the tables of an earlier export, or, where only some tables were asked for, keep them, and say so."""
    import sys

    from eventsim.storage import writing

    if not earlier:
        return
    paths = [arguments.csv / f"{name}.csv" for name in earlier]
    names = ", ".join(path.name for path in paths)
    if arguments.table:
        said = f"keeps {names} of an earlier export, which may be of another run"
    else:
        writing.remove_files(paths)
        said = f"removed {names} of an earlier export, for which this run has nothing"
    print(f"eventsim: {printable(arguments.csv)}: {said}", file=sys.stderr)


def _columns(found, earlier):
    """Which unit each column of each table is in: CSV has no place for it. earlier: rows of tables that stay."""
    from eventsim.report.tables import Table

    rows = [(name, column, table.units.get(column, ""))
            for name, table in found.items() for column in table.columns]
    rows += [row for kept in earlier.values() for row in kept]
    return Table({key: [row[i] for row in rows] for i, key in enumerate(("table", "column", "unit"))})
