"""Comparison: where two runs, or a run and a recorded trace, first part, and what that looks like.

    traces      read what somebody else recorded
    pairing     which layer of one side is which of the other
    sides       both seen alike: values of a variable over samples and steps
    watching    both sides step by step, until every sample has parted
    diagnosis   how the neuron of a first divergence came to its values
    verdict     what the whole suggests, in plain language
    divergence  all of these together: `eventsim.compare`
    text        a Comparison for people
    commands    `eventsim diff`
"""
