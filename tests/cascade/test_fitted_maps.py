"""Fitted maps against scikit-learn's own predictions, by hand, and through JSON."""

import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from corea.cascade.fitted_maps import (
    Isotonic,
    Platt,
    Stack,
    apply,
    fit_isotonic,
    fit_platt,
    fit_stack,
    from_json,
    to_json,
)


@pytest.fixture
def answers():
    """Confidences and verdicts of 400 questions."""
    rng = np.random.default_rng(0)
    p = rng.random(400)
    return p, rng.random(400) < p**2


@pytest.mark.parametrize("decimals", [1, 2, 15])
def test_isotonic_is_that_of_scikit_learn(answers, decimals):
    p, right = answers
    p = p.round(decimals)
    expected = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, right.astype(float))
    fitted = fit_isotonic("s", p, right)
    assert fitted.x == tuple(expected.X_thresholds_)
    assert fitted.y == pytest.approx(expected.y_thresholds_, abs=1e-15)
    new = np.linspace(-0.1, 1.1, 77)
    np.testing.assert_allclose(apply(fitted, {"s": new}), expected.predict(new), rtol=0, atol=1e-12)


def test_isotonic_by_hand():
    # 0.1: 1 of 2 right, 0.2: 0 of 1, together 1 of 3; 0.5: 1 of 2; 0.7 and 0.9: 3 of 3
    p = np.array([0.9, 0.1, 0.1, 0.2, 0.5, 0.5, 0.7, 0.9])
    right = np.array([True, True, False, False, True, False, True, True])
    fitted = fit_isotonic("s", p, right)
    assert (fitted.x, fitted.y) == ((0.1, 0.2, 0.5, 0.7, 0.9), (1 / 3, 1 / 3, 0.5, 1.0, 1.0))


def test_platt_is_that_of_scikit_learn(answers):
    p, right = answers
    for verdicts in (right, p > 0.4):  # the second is separated by the signal: the penalty alone keeps the slope finite
        clipped = np.clip(p, 1e-3, 1 - 1e-3)
        logit = np.log(clipped / (1 - clipped))[:, None]
        exact = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(logit, verdicts)
        expected = exact.predict_proba(logit)[:, 1]
        np.testing.assert_allclose(apply(fit_platt("s", p, verdicts), {"s": p}), expected, rtol=0, atol=1e-7)


def test_maps_by_hand():
    line = Isotonic(signal="s", x=(0.2, 0.6), y=(0.0, 1.0))
    assert apply(line, {"s": np.array([0.1, 0.3, 0.9])}).tolist() == [0.0, 0.25, 1.0]
    same = Platt(signal="s", slope=1.0, intercept=0.0)
    assert apply(same, {"s": np.array([0.3, 0.8])}).tolist() == [0.3, 0.8]
    # two features of logit 0 and log(3): sigmoid(0.5 + 1 * 0 + 2 * log(3)) = 1 / (1 + exp(-0.5) / 9)
    both = Stack(
        features=("a", "b"), centre=(0, 0), scale=(1, 1), coefficients=(1, 2), missing=(-0.5, 0.0), intercept=0.5
    )
    values = apply(both, {"a": np.array([0.5, np.nan, np.nan]), "b": np.array([0.75, 0.75, np.nan])})
    assert values[0] == pytest.approx(1 / (1 + np.exp(-0.5) / 9), abs=1e-12)
    assert values[1] == pytest.approx(0.9, abs=1e-12)  # the missing value takes the centre 0 and adds -0.5
    assert np.isnan(values[2])


def test_products_by_hand():
    # z = (log(3), 2): 0.1 + 1 * log(3) + 0.5 * log(3)^2 + 0.25 * 2 log(3) + 0.125 * 4
    stack = Stack(
        features=("a", "length"),
        centre=(0, np.log1p(7)),
        scale=(1, np.log(2) / 2),
        coefficients=(1, 0),
        products=(0.5, 0.25, 0.125),
        missing=(0, 0),
        intercept=0.1,
    )
    score = 0.1 + np.log(3) + 0.5 * np.log(3) ** 2 + 0.5 * np.log(3) + 0.5
    value = apply(stack, {"a": np.array([0.75]), "length": np.array([15])})  # log(16) - log(8) is two scales
    assert value[0] == pytest.approx(1 / (1 + np.exp(-score)), abs=1e-12)


def test_products_are_used_where_they_help_and_left_out_where_they_do_not():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 2000))
    features = {"a": 1 / (1 + np.exp(-a)), "b": 1 / (1 + np.exp(-b))}
    crossed = rng.random(2000) < 1 / (1 + np.exp(-2 * a * b))
    products = fit_stack(features, crossed).products
    assert products[1] == pytest.approx(2, rel=0.2)  # of z_a z_b
    assert fit_stack(features, np.arange(2000) % 997 == 0).products == ()  # three right answers: too few to choose on


def test_a_missing_confidence_stays_missing(answers):
    p, right = answers
    for fitted in (fit_isotonic("s", p, right), fit_platt("s", p, right)):
        assert np.isnan(apply(fitted, {"s": np.array([np.nan, 0.5])})).tolist() == [True, False]


def test_a_stack_ranks_better_than_each_of_its_independent_signals():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 4000))
    right = rng.random(4000) < 1 / (1 + np.exp(-(a + b)))
    features = {"a": 1 / (1 + np.exp(-a)), "b": 1 / (1 + np.exp(-b)), "length": rng.integers(5, 50, 4000)}
    fitted = fit_stack({k: v[:2000] for k, v in features.items()}, right[:2000])
    score = apply(fitted, {k: v[2000:] for k, v in features.items()})

    def auroc(values):
        hits, misses = values[right[2000:]], values[~right[2000:]]
        return (hits[:, None] > misses).mean()

    assert auroc(score) > max(auroc(features["a"][2000:]), auroc(features["b"][2000:])) + 0.05


def test_a_stack_fits_where_a_signal_is_missing_or_constant(answers):
    p, right = answers
    gone = np.where(np.arange(400) % 7 == 0, np.nan, p)
    fitted = fit_stack({"s": gone, "constant": np.full(400, 0.9)}, right)
    assert np.isfinite(apply(fitted, {"s": gone, "constant": np.full(400, 0.9)})).all()
    alone = fit_stack({"s": np.full(400, np.nan)}, right)
    assert np.isnan(apply(alone, {"s": np.full(3, np.nan)})).all()


def test_a_map_comes_back_from_json_to_the_last_digit(answers):
    p, right = answers
    for fitted in (fit_isotonic("s", p, right), fit_platt("s", p, right), fit_stack({"s": p, "length": 9 * p}, right)):
        again = from_json(json.loads(json.dumps(to_json(fitted))))
        assert again == fitted


@pytest.mark.parametrize("document", [{"kind": "spline"}, {}, {"kind": "platt", "signal": "s"}])
def test_what_is_no_map_is_refused(document):
    with pytest.raises(ValueError, match="fitted map"):
        from_json(document)
