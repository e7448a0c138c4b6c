"""What libraries leave to a function of one's own: when a membrane fires."""

import torch

from eventsim.errors import UnsupportedError

PROBES = (-10.0, -1.0, -0.5, -0.1, -1e-3, -1e-6, 0.0, 1e-6, 1e-3, 0.1, 0.5, 1.0, 1.5, 10.0)  # above the threshold


def comparison_at_threshold(function, name) -> str:
    """">" or ">=": what a function of the membrane less its threshold says of one at it.

    Raises UnsupportedError, calling it by `name`, for anything but a step from 0 to 1 at the threshold.
    """
    above = torch.tensor(PROBES, dtype=torch.float64)
    with torch.no_grad():
        fires = function(above.clone()).double()
    for comparison, expected in ((">", above > 0), (">=", above >= 0)):
        if fires.shape == above.shape and bool((fires == expected).all()):
            return comparison
    raise UnsupportedError(f"its {name} is no step from 0 to 1 at the threshold, which is where a model's neurons "
                           "fire")
