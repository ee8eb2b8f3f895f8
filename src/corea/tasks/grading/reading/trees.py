"""Trees of expressions.

Trees are tuples: ("num", Fraction[, decimal places]), ("sym", name), ("const", "pi" | "e" | "i" | "inf"), ("neg", a),
("add", a, b, ...), ("mul", a, b, ...), ("div", a, b), ("pow", a, b), ("root", a, n), ("fn", name, a[, base]),
("abs" | "floor" | "ceil", a), ("fact", a), ("binom", a, b), ("deg", a): an angle in degrees, ("app", name, a): an
unknown function.
"""

from __future__ import annotations

from functools import lru_cache

Tree = tuple


@lru_cache(maxsize=8192)
def symbols(tree: Tree) -> frozenset[str]:
    """Names of the variables."""
    if tree[0] == "sym":
        return frozenset((tree[1],))
    return frozenset().union(*(symbols(t) for t in tree[1:] if isinstance(t, tuple)))


def holds(tree: Tree, *kinds: str) -> bool:
    """Whether the tree contains a node of one of these kinds; "i" means the imaginary unit."""
    if tree[0] in kinds or (tree[0] == "const" and tree[1] in kinds):
        return True
    return any(holds(t, *kinds) for t in tree[1:] if isinstance(t, tuple))
