"""Additions only: the kernels that weigh spikes contain no product of a weight and a spike."""

import ast
from copy import deepcopy

import pytest
from kernel_sources import called, functions, KERNELS

# Row functions that may multiply: real input (MACs), and channel attention (counted as products).
MULTIPLYING = {"real_rows", "weigh_rows"}
# Calls that give a vector, or take one, without any product of a weight and a spike.
ADDITIVE = {
    "load", "zeros", "half_zeros", "negated", "select", "high_bytes", "low_sums", "joined",
    "first_half", "store", "below", "same_bits", "widened",
}
POINTING = {"index", "pointers", "source", "words", "planes", "bands", "ranges"}  # arrays of indices and masks
VECTORS = {"load", "zeros", "half_zeros", "negated", "select", "high_bytes", "low_sums", "joined",
           "first_half", "splat", "scaled", "weighted", "widened"}


class Products(ast.NodeVisitor):
    """Finds every use of a vector, or of a scalar loaded from a value array, that is no addition.

    Vectors are followed by name: parameters that callers pass vectors for, and every name that a
    vector is assigned to. Index arithmetic (offsets of `load` and `store`) is free to multiply.
    """

    def __init__(self, functions):
        self.functions = functions
        self.parameters = {name: set() for name in functions}
        self.violations = []

    def check(self, names):
        """Check the functions and, transitively, those of the package that they call."""
        waiting, seen = list(names), {}
        while waiting:
            name = waiting.pop()
            known = frozenset(self.parameters[name])
            if seen.get(name) == known:
                continue
            seen[name] = known
            function = self.functions[name]
            self.name, self.vectors = name, set(known)
            for _ in range(3):  # names assigned later in a loop
                for node in ast.walk(function):
                    if isinstance(node, ast.Assign):
                        for target in node.targets:
                            self.vectors |= self._assigned(target, node.value)
                    if isinstance(node, ast.AugAssign) and self.is_vector(node.value):
                        self.vectors.add(node.target.id)
            for node in ast.walk(function):
                waiting += self._check_node(node)
        return sorted(set(self.violations))

    def _assigned(self, target, value):
        """Names to which an assignment gives vectors; several at once where it takes tuples apart."""
        if isinstance(target, ast.Tuple):
            pairs = zip(target.elts, value.elts if isinstance(value, ast.Tuple) else [value] * len(target.elts))
            return set().union(*(self._assigned(*pair) for pair in pairs))
        return {target.id} if isinstance(target, ast.Name) and self.is_vector(value) else set()

    def is_vector(self, node):
        if isinstance(node, ast.Name):
            return node.id in self.vectors
        if isinstance(node, ast.Call):
            name = called(node)
            if name in ("load", "load_one"):
                array = node.args[0]
                return getattr(array, "id", getattr(array, "attr", None)) not in POINTING
            return name in VECTORS or name in self.functions and name.startswith("_sum_of")
        if isinstance(node, ast.Subscript):  # an element of a value array, or of a tuple of vectors
            base = node.value
            return isinstance(base, ast.Name) and base.id in {"weight", "sums", "strengths", *self.vectors}
        if isinstance(node, (ast.BinOp, ast.IfExp, ast.UnaryOp, ast.Tuple)):
            return any(self.is_vector(child) for child in ast.iter_child_nodes(node)
                       if isinstance(child, ast.expr))
        return False

    def _check_node(self, node):
        """Note violations; returns functions of the package that were called with new vectors."""
        if isinstance(node, ast.BinOp) and (self.is_vector(node.left) or self.is_vector(node.right)):
            if not isinstance(node.op, (ast.Add, ast.Sub)):
                self._note(node)
        elif isinstance(node, ast.AugAssign) and (self.is_vector(node.target) or self.is_vector(node.value)):
            if not isinstance(node.op, (ast.Add, ast.Sub)):
                self._note(node)
        elif isinstance(node, ast.Call):
            name = called(node)
            if name in self.functions:
                parameters = [a.arg for a in self.functions[name].args.args]
                given = {p for p, v in zip(parameters, node.args) if self.is_vector(v)}
                self.parameters[name] |= given
                return [name]
            if name in {"scaled", "weighted", "splat"}:
                self._note(node)
            elif name not in ADDITIVE and any(self.is_vector(v) for v in node.args):
                self._note(node)
        return []

    def _note(self, node):
        self.violations.append(f"{self.name}, line {node.lineno}: {ast.unparse(node)}")


def products(trees):
    """Violations of "additions only" in the row functions of the package."""
    found = functions(trees)
    rows = {name for name in found if name.endswith("_rows") and name not in MULTIPLYING}
    assert {"gather_rows", "pair_rows", "slide_rows", "masked_rows"} <= rows
    return Products(found).check(sorted(rows))


def test_row_functions_only_add():
    assert products(KERNELS) == []


# (function, one of its statements, what somebody might make of it)
ADD_ROW = "x = x + load(weight, (base + np.int64(load_one(index, i))) * lanes, zero)"
ADD_NEAR_ROW = "x = x + load(weight, (base + np.int64(load_one(index, e))) * lanes, zero)"
ADD_PART = "y1 = y1 + load(weight, (table + np.int64(w1 & mask)) * lanes, y1)"
ADD_SUM = "middle = middle + load(weight, o + lanes, middle)"
DOUBLED = "x0, x1, x2, x3 = (x0 + x0, x1 + x1, x2 + x2, x3 + x3)"
END = "store(sums, (o + o3) * lanes, x3)"
ADD_LEFT = "left = left + load(weight, o + 2 * lanes, none)"
TAP = "tap = select(spikes, load(weight, o, zero), zero)"
PAIRS = "return joined(low_sums(words, highs), highs, like) - first_half(128 * n, like)"
ADD_PAIRS = "x = x + _sum_of_pairs(words, highs, n, like)"
LARGEST = "largest = select(below(largest, x), x, largest)"
ADD_BIAS = "x = x + load(pooled.bias, b, zero)"
MUTATIONS = {
    "a row times a spike": ("gather_rows", ADD_ROW, ADD_ROW.replace("load(weight", "2 * load(weight")),
    "doubling by a product": ("gather_rows", "x = x + x", "x = x * splat(2, zero)"),
    "pairs": ("pair_rows", "words = words + word", "words = words + word * n"),
    "high bytes": ("pair_rows", "highs = highs + high_bytes(word)", "highs = highs + high_bytes(word * word)"),
    "a column": ("slide_rows", ADD_LEFT, ADD_LEFT + " * b"),
    "a column doubled by a product": ("slide_rows", "store(sums, k, x + x + widened(left, like))",
                                      "store(sums, k, x * splat(2, like) + widened(left, like))"),
    "a column of pairs": ("slide_pair_rows", "words_1 = words_1 + word",
                          "words_1 = words_1 + scaled(word, words_2)"),
    "in place": ("slide_pair_rows", "words_0 = words_0 + word", "words_0 *= word"),
    "a part of a column": ("_add_parts", ADD_SUM, ADD_SUM.replace("load(weight", "part * load(weight")),
    "a column of sums doubled by a product": ("_add_half", "before = before + before", "before = 2 * before"),
    "the end of a column of sums": ("_add_half", "store(halves, k, before - x)", "store(halves, k, before * x)"),
    "a part of a window": ("_sum_of_parts", ADD_PART, ADD_PART + " * lanes"),
    "a plane of a window": ("window_rows", DOUBLED, DOUBLED.replace("x0 + x0", "x0 * splat(2, x0)")),
    "a plane of a window by a number": ("window_rows", DOUBLED, DOUBLED.replace("x3 + x3", "x3 * 2")),
    "planes of a window": ("window_rows", DOUBLED, DOUBLED.replace("x1 + x1", "x1 * x1")),
    "what a part is added to": ("_sum_of_parts", "y0, y1, y2, y3 = four", "y0 = four[0] * four[1]"),
    "the end of a window": ("window_rows", END, END.replace("x3)", "x3 * lanes)")),
    "a near row": ("near_rows", ADD_NEAR_ROW, ADD_NEAR_ROW + " * b"),
    "a mask by a product": ("masked_rows", TAP, "tap = load(weight, o, zero) * splat(spikes, zero)"),
    "a scaled copy": ("masked_rows", "x = x - tap", "x = x - weighted(tap, tap)"),
    "a scalar weight": ("masked_rows", "x = x + tap", "x = x + splat(load_one(weight, o) * spikes, zero)"),
    "a power": ("masked_rows", "x = x + tap", "x = x + tap ** 2"),
    "a library": ("masked_rows", "x = x + tap", "x = x + np.multiply(tap, 2)"),
    "a function that rows call": ("_sum_of_pairs", PAIRS, PAIRS.replace("highs, like)", "highs * n, like)")),
    "a maximum by a product": ("pooled_rows", LARGEST, LARGEST.replace("x, largest)", "x * x, largest)")),
    "a bias times a sum": ("pooled_rows", ADD_BIAS, ADD_BIAS.replace("+", "*")),
    "the end of a column": ("_end_column", ADD_PAIRS, ADD_PAIRS.replace("+", "*")),
}


class Replace(ast.NodeTransformer):
    """Puts another statement in the place of the first that reads like `statement`."""

    def __init__(self, statement, other):
        self.statement, self.other, self.done = statement, other, False

    def visit(self, node):
        if isinstance(node, ast.stmt) and not self.done and ast.unparse(node) == self.statement:
            self.done = True
            [other] = ast.parse(self.other).body
            return ast.copy_location(other, node)
        return self.generic_visit(node)


def mutated(trees, name, statement, other):
    """Copies of the trees, with one statement of one function replaced."""
    assert ast.unparse(ast.parse(statement)) == statement, "write it as ast.unparse does"
    trees = deepcopy(trees)
    assert name in functions(trees), f"no function {name} in the kernels: choose another one"
    replace = Replace(statement, other)
    replace.visit(functions(trees)[name])
    assert replace.done, f"{name} has no statement {statement!r}: choose another one"
    return trees


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_product_is_found(mutation):
    found = products(mutated(KERNELS, *MUTATIONS[mutation]))
    assert found and all(line.startswith(MUTATIONS[mutation][0] + ",") for line in found)


@pytest.mark.parametrize("name, statement, match", (
    ("gather_positions", "x = x + x", "no function gather_positions"),
    ("gather_rows", "x = x + y + x", r"gather_rows has no statement 'x = x \+ y \+ x'"),
))
def test_a_mutation_of_what_is_gone_fails(name, statement, match):
    with pytest.raises(AssertionError, match=match):
        mutated(KERNELS, name, statement, "x = x * x")


def test_the_table_of_layouts_names_every_row_function():
    table = ast.get_docstring(KERNELS["arguments.py"]).partition("Layouts")[2]
    reading = {name for name, n in functions(KERNELS).items()
               if name.endswith("_rows") and "weight" in [a.arg for a in n.args.args]}
    assert len(reading) == 9
    assert {name for name in reading if f"`{name}`" not in table} == set()


def test_real_rows_would_be_found():
    """The one function that multiplies is caught as soon as it is not excepted by name."""
    trees = deepcopy(KERNELS)
    functions(trees)["real_rows"].name = "more_rows"
    assert products(trees)


def test_every_row_kernel_is_checked():
    """What writes sums is a row function, ends a row, or is part of one, or measures the machine, or keeps
    membranes in their place; only those of real input and attention multiply."""
    writing = {
        name for name, node in functions(KERNELS).items()
        if any(isinstance(c, ast.Call) and called(c) == "store" and ast.unparse(c.args[0]) == "sums"
               for c in ast.walk(node))
    }
    assert {name for name in writing if not name.endswith("_rows")} == {
        "_end_column", "repeat_additions", "fire_by_step"}
    assert writing >= MULTIPLYING
