"""The command `stats`: the statistics of a run file, as tables."""

import os
from itertools import islice
from pathlib import Path

from eventsim.cli.arguments import add_layers, add_output, add_run, opened, output_group
from eventsim.cli.screen import print_marked, Screen, SEVERITIES, width
from eventsim.cli.usage import meant
from eventsim.errors import DataError
from eventsim.storage.json_fields import json_text
from eventsim.text import printable, wrapped

PRINTED = ("findings", "layers")  # tables of `stats` unless it is told otherwise
LARGE = ("neurons", "correlations")  # tables of as many rows as there are neurons: in files, or when named
SHOWN = ("layer", "kind", "neurons", "rate", "silent_share", "saturated_share", "mean_level", "entropy", "cv",
         "fano", "synops", "additions", "macs", "dense_macs", "energy", "ann_energy")  # columns of layers
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
                    "--json prints all but neurons and correlations; with --layer, all that are by layer.",
        examples=("eventsim stats run.h5", "eventsim stats run.h5 --table rates --layer conv1",
                  "eventsim stats run.h5 --csv tables"),
    )
    stats.set_defaults(run=run_stats, refuse=stats.error)
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
    from eventsim.report.tables import table

    _check_tables(arguments)
    _check_paths(arguments)
    screen = Screen(arguments)
    with opened(arguments.model) as run:
        tables = {name: table(run, name, arguments.layer) for name in _names(arguments)}
        if _exports(arguments) and not arguments.table:
            tables = {name: each for name, each in tables.items() if len(each)}
        written = _export(tables, arguments, screen)
        if _exports(arguments):
            for name in [name for name, each in tables.items() if not len(each)]:
                screen.note(_nothing_text(name, run), silently=True)
            _say_written(tables, written, arguments, screen)
        else:
            _print(tables, run, arguments)
    return 0


def _exports(arguments):
    """Return whether programs read what comes out."""
    return arguments.json or _to_file(arguments)


def _to_file(arguments):
    return arguments.csv is not None or arguments.npz is not None


def _check_tables(arguments):
    """End the program with one line where a table is asked for that there is not, or layers of one that is of the
    whole network."""
    from eventsim.report.tables import TABLES, tables_by_layer

    for name in arguments.table:
        if "," in name:
            repeated = " ".join(f"--table {each.strip()}" for each in name.split(","))
            arguments.refuse(f"--table takes one name at a time: give {repeated}")
        if name not in TABLES:
            arguments.refuse(f"{name!r} is no table{meant(name, TABLES) or ': there are ' + ', '.join(TABLES)}")
        if arguments.layer and not TABLES[name].by_layer:
            arguments.refuse(f"--layer is no option of the table {name}, only of {', '.join(tables_by_layer())}")


def _check_paths(arguments):
    """Raise DataError where a file to write is the run itself, or of another kind."""
    from eventsim.report.tables import TABLES
    from eventsim.storage import writing

    writing.spare(arguments.npz, arguments.model)
    writing.check_suffix(arguments.npz, "an archive of arrays", ".npz")
    _check_folder(arguments.csv)
    for name in () if arguments.csv is None else (*TABLES, "columns"):
        writing.spare(arguments.csv / f"{name}.csv", arguments.model)


def _check_folder(path):
    """Raise DataError where --csv names a file, by its suffix or since there is one."""
    if path is None:
        return
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: is a file, expected a folder, into which --csv writes a file for each table")
    if path.suffix.lower() in (".csv", ".tsv", ".txt") and not path.is_dir():
        raise DataError(f"{path}: --csv names a folder, into which a file goes for each table: give "
                        f"{path.with_suffix('')}, or --table NAME --csv {path.with_suffix('')} for one of them")


def _names(arguments):
    """Return the names of the tables that are asked for, each once."""
    from eventsim.report.tables import TABLES, tables_by_layer

    if arguments.table:
        return list(dict.fromkeys(arguments.table))
    if not _exports(arguments):
        return PRINTED
    names = tables_by_layer() if arguments.layer else TABLES
    return [name for name in names if _to_file(arguments) or name not in LARGE]


def _say_written(tables, written, arguments, screen):
    """Print the files written, or the tables as JSON. written: paths, none where nothing went into a file."""
    if arguments.json:
        values = {"written": written} if written else {
            "tables": {name: table.as_json() for name, table in tables.items()}}
        print(json_text({"run": arguments.model, **values, "notes": screen.notes}))
    else:
        print("\n".join(written))


def _print(tables, run, arguments):
    """Print the tables for people."""
    head = [] if arguments.table else [_head(run)]
    texts = [_printed(name, table, run, arguments.layer) for name, table in tables.items()]
    print_marked("\n".join([*head, *texts]).rstrip(), SEVERITIES)


def _head(run):
    """Return what was run, and the result."""
    from eventsim.report.page.sections import result
    from eventsim.report.text import WIDTH

    columns = width() or WIDTH
    names = " on ".join(printable(name) for name in (run.summary.model, run.summary.data) if name)
    return f"{wrapped(names or run.path, columns)}\n{wrapped(result(run), columns)}\n"


def _printed(name, table, run, layers):
    """Return a table for people: findings as sentences, facts as lines, of layers the columns that fit."""
    from eventsim.report.text import findings_text

    if name == "findings":
        return findings_text([dict(zip(table.columns, row)) for row in table.rows], width(), layers)
    if not len(table):
        return f"{_nothing_text(name, run)}\n"
    if name == "run":
        return "".join(f"{wrapped(printable(f'{fact}: {value}'), width())}\n" for fact, value in table.rows)
    if name == "layers":
        has_macs = any(macs > 0 for macs in table.columns["macs"])  # of real-valued input
        table = table.of([column for column in SHOWN if column != "macs" or has_macs])
    return f"{wrapped(table.title, width())}\n\n{table.as_text(MOST_ROWS, width(), LEFT_OUT)}"


def _nothing_text(name, run):
    """Return what is said of a table without rows."""
    reason = _why_empty(name, run)
    return f"{run.path}: nothing for the table {name}{f': {reason}' if reason else ''}"


def _why_empty(name, run):
    """Return why a table has no rows, "" where nobody knows."""
    if name not in ("classes", "confusion"):
        return "there are no labels" if name == "class_rates" and run.labels is None else ""
    decisions = run.statistics.decisions
    return "the answers after each step were not kept" if decisions is None else decisions.no_confusion


def _export(tables, arguments, screen):
    """Write tables into files, and return their paths, in order."""
    if arguments.csv is not None:
        return _export_csv(tables, arguments, screen)
    return [] if arguments.npz is None else _export_npz(tables, arguments.npz)


def _export_csv(tables, arguments, screen):
    from eventsim.storage import writing

    exported = _exported(arguments.csv)
    earlier = {name: rows for name, rows in exported.items() if name not in tables}
    texts = {name: table.as_csv() for name, table in tables.items()}
    texts["columns"] = _columns(tables, earlier if _names_tables(arguments) else {}).as_csv()
    contents = {arguments.csv / f"{name}.csv": text.encode() for name, text in texts.items()}
    _spare_foreign({path: text.decode() for path, text in contents.items() if path.stem not in exported})
    with writing.new_folder(arguments.csv):
        writing.write_files(contents)
    _settle(earlier, arguments, screen)
    return list(map(str, contents))


def _export_npz(tables, path):
    import io

    import numpy as np

    from eventsim.storage import writing

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: table.as_arrays() for name, table in tables.items()})
    writing.write_file(path, buffer.getvalue())
    return [str(path)]


def _names_tables(arguments):
    """Return whether only some of the tables were asked for, so that those of an earlier export stay."""
    return bool(arguments.table or arguments.layer)


def _exported(folder):
    """Return the tables of an earlier export to a folder that are still there as it wrote them: name -> rows of
    its columns.csv. A file that only has the name of one of our tables is none of them."""
    from eventsim.report.tables import TABLES

    exported = {}
    for row in _rows_of(folder / "columns.csv")[1:]:
        if len(row) == 3 and row[0] in TABLES:
            exported.setdefault(row[0], []).append(tuple(row))
    return {name: rows for name, rows in exported.items()
            if _rows_of(folder / f"{name}.csv", 1) == [[column for _, column, _ in rows]]}


def _rows_of(path, most=None):
    """Return the rows of a CSV file, at most so many; none of what cannot be read."""
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


def _settle(earlier, arguments, screen):
    """Remove the tables of an earlier export, or, where only some tables were asked for, keep them, and say so."""
    from eventsim.storage import writing

    if not earlier:
        return
    paths = [arguments.csv / f"{name}.csv" for name in earlier]
    names = ", ".join(path.name for path in paths)
    if _names_tables(arguments):
        note = f"keeps {names} of an earlier export, which may be of another run"
    else:
        writing.remove_files(paths)
        note = f"removed {names} of an earlier export, for which this run has nothing"
    screen.note(f"{printable(arguments.csv)}: {note}")


def _columns(tables, earlier):
    """Return the unit of each column of each table: CSV has no place for it. earlier: rows of tables that stay."""
    from eventsim.report.tables import Table

    rows = [(name, column, table.units.get(column, ""))
            for name, table in tables.items() for column in table.columns]
    rows += [row for rows_of_table in earlier.values() for row in rows_of_table]
    return Table({key: [row[i] for row in rows] for i, key in enumerate(("table", "column", "unit"))})
