"""A NIR file as one flat graph: nested graphs are dissolved, members and edges are checked, nothing is
computed."""

from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Tuple

from eventsim.formats.refusing import MAX_EDGES, MAX_NODES, unsupported
from eventsim.storage.hdf5 import StoredGroup

MAX_DEPTH = 16  # of nested graphs; hard links can nest a graph in itself
MAX_PAIRS = 1 << 21  # nodes times edges, which bounds the time of looking for loops

_LIF = ("r", "v_leak", "v_threshold")
_CONV = ("weight", "bias", "stride", "padding", "dilation", "groups")
_POOL = ("kernel_size", "stride", "padding")
# type -> members that it must have, members that it may have
MEMBERS = {
    "Input": (("shape",), ()),
    "Output": (("shape",), ()),
    "Linear": (("weight",), ()),
    "Affine": (("weight", "bias"), ()),
    "Scale": (("scale",), ()),
    "Threshold": (("threshold",), ()),
    "Delay": (("delay",), ()),
    "Conv1d": (_CONV, ("input_shape",)),
    "Conv2d": (_CONV, ("input_shape",)),
    "SumPool2d": (_POOL, ()),
    "AvgPool2d": (_POOL, ()),
    "Flatten": (("start_dim", "end_dim"), ("input_type",)),
    "I": (("r",), ()),
    "IF": (("r", "v_threshold"), ("v_reset",)),
    "LI": (("tau", "r", "v_leak"), ()),
    "LIF": (("tau", *_LIF), ("v_reset",)),
    "CubaLI": (("tau_syn", "tau_mem", "r", "v_leak"), ("w_in",)),
    "CubaLIF": (("tau_syn", "tau_mem", *_LIF), ("v_reset", "w_in")),
    "NIRGraph": (("nodes", "edges"), ()),
}


class RawNode(NamedTuple):
    """A node in the file: its type and its group."""

    kind: str
    group: StoredGroup


@dataclass
class Graph:
    """All nodes of a file by their full names, and the edges between them, each once.

    input, output: names of the two of the outermost graph. passing: names of the inputs and outputs of nested
    graphs, which only hand on what they read. not_read: members that NIR does not have.
    """

    nodes: Dict[str, RawNode] = field(default_factory=dict)
    edges: List[Tuple[str, str]] = field(default_factory=list)
    input: str = ""
    output: str = ""
    passing: List[str] = field(default_factory=list)
    not_read: List[str] = field(default_factory=list)


def read_graph(root) -> Graph:
    """Return the graph below /node of a file. Raises FormatError and UnsupportedError, which name the node."""
    top = root.group("node", "the graph")
    kind = top.text("type")
    if kind != "NIRGraph":
        raise top.error(f"type is {kind!r}, expected 'NIRGraph'")
    graph = Graph()
    graph.input, graph.output = _read_level(graph, top, "", 0)
    graph.edges = list(dict.fromkeys(graph.edges))  # duplicates occur and mean one edge
    if len(graph.nodes) * len(graph.edges) > MAX_PAIRS:
        raise top.error(f"{len(graph.nodes)} nodes and {len(graph.edges)} edges, expected at most {MAX_PAIRS} of "
                        "both multiplied; save as .h5")
    return graph


def _read_level(graph, group, prefix, depth):
    """Add the nodes and edges of one (nested) graph. Returns the names of its Input and Output."""
    if depth > MAX_DEPTH:
        raise group.error(f"graphs are nested more than {MAX_DEPTH} deep")
    _check_members(graph, group, "NIRGraph")
    nodes = group.group("nodes")
    ports = {}  # name -> where edges into it lead, where edges out of it start
    for name in nodes.names():
        ports[name] = _read_node(graph, nodes, prefix, name, depth)
        if len(graph.nodes) > MAX_NODES:
            raise group.error(f"more than {MAX_NODES} nodes")
    for source, target in _read_edges(group):
        for end in (source, target):
            if end not in ports:
                raise group.error(
                    f"edge {prefix + source!r} -> {prefix + target!r} names node {prefix + end!r}, which "
                    f"does not exist; there are {', '.join(prefix + name for name in ports)}"
                )
        graph.edges.append((ports[source][1], ports[target][0]))
        if len(graph.edges) > MAX_EDGES:
            raise group.error(f"more than {MAX_EDGES} edges")
    return tuple(_only(graph, group, prefix, kind, ports) for kind in ("Input", "Output"))


def _read_node(graph, nodes, prefix, name, depth):
    """Add one node, or all of a nested graph. Returns the names of the nodes at which it is entered and left."""
    full = prefix + name
    group = nodes.group(name, f"node {full!r}")
    inner = [] if "type" in group else [each for each in group.names() if group.is_group(each)]
    if inner:
        raise group.error(f"'type' is missing, and group {inner[0]!r} is in it, expected a node: if its name is "
                          f"{full + '/' + inner[0]!r}, rename it, since HDF5 makes groups of \"/\"")
    kind = group.text("type")
    if kind not in MEMBERS:
        raise group.error(f"type is {kind!r}, expected one of {', '.join(MEMBERS)}")
    group.label = f"node {full!r} ({kind})"
    if kind == "NIRGraph":
        ends = _read_level(graph, group, full + ".", depth + 1)
        graph.passing += ends
        return ends
    if full in graph.nodes:
        raise group.error("a nested graph has a node of the same full name")
    _check_members(graph, group, kind)
    graph.nodes[full] = RawNode(kind, group)
    return full, full


def _check_members(graph, group, kind):
    required, optional = MEMBERS[kind]
    for name in required:
        if name not in group:
            raise group.error(f"{name!r} is missing")
    known = (*required, *optional, "type", "metadata")
    graph.not_read += [f"{name} of {group.label}" for name in group.names() if name not in known]


def _read_edges(group):
    stored = group.dataset("edges")
    if 0 in stored.shape:  # an empty list has no type
        return []
    edges = group.texts("edges")
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise group.error(f"'edges' has shape {edges.shape}, expected (E, 2)")
    return edges.tolist()


def _only(graph, group, prefix, kind, ports):
    """Return the full name of the one Input or Output of a (nested) graph."""
    names = [prefix + name for name in ports
             if prefix + name in graph.nodes and graph.nodes[prefix + name].kind == kind]
    if len(names) > 1:
        raise unsupported(group, f"has {len(names)} nodes of type {kind} ({', '.join(names)}), expected 1; "
                          "split the graph, or join them")
    if not names:
        raise group.error(f"has no node of type {kind}, expected 1")
    return names[0]
