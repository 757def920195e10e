"""The obvious version: every distance of every weight to every level."""

import torch


def levels_of(multipliers, c):
    """Level of every code, by its definition, one code at a time."""
    bits = len(multipliers)
    return torch.stack(
        [sum((multipliers[k] for k in range(bits) if code >> k & 1), 0 * c) + c for code in range(2**bits)]
    )


def nearest(weight, levels, allowed=None):
    """Code of the nearest allowed level from all 2^N distances; of two equally near the upper level's.

    weight [n]; levels [m] or [n, m]; allowed bool [n, m].
    """
    levels = levels.expand(len(weight), -1)
    distance = (weight[:, None] - levels).abs()
    if allowed is not None:
        distance = torch.where(allowed, distance, torch.inf)
    least = distance.amin(dim=1, keepdim=True)
    upper = torch.where(distance == least, levels, -torch.inf)
    return upper.argmax(dim=1)


def allowed(stuck0, stuck1, bits):
    """Whether weight i can hold code q, bool [n, 2^N], bit by bit."""
    rows = []
    for zero, one in zip(stuck0.flatten().tolist(), stuck1.flatten().tolist(), strict=True):
        rows.append([all(not (zero >> k & 1 and q >> k & 1) and not (one >> k & 1 and not q >> k & 1)
                         for k in range(bits)) for q in range(2**bits)])  # fmt: skip
    return torch.tensor(rows)
