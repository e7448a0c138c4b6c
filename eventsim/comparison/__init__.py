"""Comparison: find where two runs, or a run and a recorded trace, first differ, and explain it.

    traces      reads what another tool recorded
    pairing     decides which layer of A is compared with which layer of B
    sides       gives one interface over a simulator run and a recorded trace
    watching    runs both sides step by step until every sample has diverged
    diagnosis   shows how the neuron of the first divergence came to its values
    verdict     says in plain language what the differences suggest
    divergence  puts these together: `eventsim.compare`
    result      is what it finds, as data: Comparison
    text        prints a Comparison
    self_check  compares a model with what its trainer computed: `eventsim check`
"""
