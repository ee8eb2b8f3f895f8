"""A calibration distance of your own: overconfidence costs twice as much as underconfidence."""


def cautious(confidence: float, target: float) -> float:
    """Squared gap, doubled where the confidence is above the target. Both arguments lie in [0, 1].

    Not a proper scoring rule: its best confidence lies below the probability of being right.
    """
    gap = confidence - target
    return (2.0 if gap > 0 else 1.0) * gap * gap
