"""The operations of an expression tree that every kind of number shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from corea.tasks.grading.reading.trees import Tree


class Undefined(ArithmeticError):
    """The expression has no value (over the reals)."""


class TooLarge(ArithmeticError):
    """The value exceeds the bounds of what is computed."""


class Evaluator(ABC):
    """Evaluates the operations that both kinds of numbers share.

    A subclass defines the arithmetic; values are of the kind that it computes with.
    """

    point: dict[str, Fraction]
    """Values of the variables."""

    @abstractmethod
    def __call__(self, tree: Tree) -> Any:
        """The value of a tree, within the bounds."""

    @abstractmethod
    def number(self, value: Fraction) -> Any:
        """A given number."""

    @abstractmethod
    def total(self, values: Iterable[Any]) -> Any:
        """The sum."""

    @abstractmethod
    def is_zero(self, value: Any) -> bool:
        """Whether nothing can be divided by it."""

    @abstractmethod
    def power(self, tree: Tree) -> Any:
        """The value of a power."""

    @abstractmethod
    def root(self, value: Any, degree: Any) -> Any:
        """The root of that degree."""

    @abstractmethod
    def other(self, tree: Tree) -> Any:
        """The value of any other operation."""

    def node(self, tree: Tree) -> Any:
        """The value of a tree from those of its parts."""
        kind = tree[0]
        if kind == "num":
            return self.number(tree[1])
        if kind == "sym":
            return self.number(self.point[tree[1]])
        if kind == "neg":
            return -self(tree[1])
        if kind == "add":
            return self.total(self(t) for t in tree[1:])
        if kind == "mul":
            value = self(tree[1])
            for t in tree[2:]:
                value = value * self(t)
            return value
        if kind == "div":
            below = self(tree[2])
            if self.is_zero(below):
                raise Undefined
            return self(tree[1]) / below
        if kind == "pow":
            return self.power(tree)
        if kind == "root":
            return self.root(self(tree[1]), self(tree[2]))
        if kind == "abs":
            return abs(self(tree[1]))
        return self.other(tree)
