"""Trees of expressions: how they are written is in expressions.py."""

from __future__ import annotations

from functools import lru_cache

Tree = tuple


def times(left: Tree, right: Tree) -> Tree:
    """The product of two trees; a product on the left is continued."""
    return ("mul", *left[1:], right) if left[0] == "mul" else ("mul", left, right)


@lru_cache(maxsize=8192)
def symbols(tree: Tree) -> frozenset[str]:
    """Names of the variables."""
    if tree[0] == "sym":
        return frozenset((tree[1],))
    return frozenset().union(*(symbols(t) for t in tree[1:] if isinstance(t, tuple)))


def holds(tree: Tree, *kinds: str) -> bool:
    """Whether a node of one of these kinds is in the tree; "i" stands for the imaginary unit."""
    if tree[0] in kinds or (tree[0] == "const" and tree[1] in kinds):
        return True
    return any(holds(t, *kinds) for t in tree[1:] if isinstance(t, tuple))
