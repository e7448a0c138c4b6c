"""Display: what objects show of themselves in a notebook and at a prompt, and tables that other tools take.

    markup    HTML in which text stays text
    card      what an object shows, bounded however large the object is: for `repr` and for notebooks
    strip     the graph of a network as a strip of boxes
    table     columns with units: as text, HTML, CSV, JSON, NumPy, pandas and Arrow
    arrow     columns by the Arrow C data interface, for pandas, polars, pyarrow and DuckDB
    progress  a bar for what takes long
"""
