from __future__ import annotations

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune.curves import CURVES
from tune.domains import Choice, Constant, Domain, Weighted
from tune.ranges import FloatRange, IntRange, Quantile

DOMAINS: list[Domain] = [
    Constant("adam"),
    Choice((16, 32, 48)),
    Choice((None, True, "word", 1, 0.5)),
    Weighted(("a", "b", "c"), (0.2, 0.0, 0.8)),
    FloatRange(1e-5, 1e-1, log=True),
    FloatRange(0.1, 0.7, step=0.1),
    FloatRange(-1.0, 2.0),
    IntRange(8, 64, step=8),
    IntRange(1, 1000, log=True),
    Quantile("normal", 0.9, 0.05, 0.0, 0.99),
    Quantile("normal", 5.0, 3.0, 0, 20, 1.0, True),
    Quantile("log_normal", -5.0, 1.0, 1e-6, 1.0),
    Quantile("log_normal", 3.0, 0.5, 1, 200, 5.0, True),
    Quantile("beta", 2.0, 5.0, 0.0, 1.0),
    Quantile("beta", 2.0, 5.0, 0.0, 1.0, 0.1),
    Quantile("log_uniform", 2.0794415416798357, 4.1588830833596715, 8, 64, 8.0, True),
]


class At:
    """A trial whose every number lies at one share of its range."""

    def __init__(self, share: float) -> None:
        self.share = share

    def suggest_float(self, name, low, high, *, step=None, log=False):
        return low + self.share * (high - low)

    def suggest_int(self, name, low, high, *, step=1, log=False):
        return low + int(self.share * ((high - low) // step)) * step

    def suggest_categorical(self, name, choices):
        return choices[min(len(choices) - 1, int(self.share * len(choices)))]


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
class TestEveryDomain:
    @pytest.mark.parametrize("share", [0.0, 1e-9, 0.3, 0.5, 1 - 1e-9, 1.0])
    def test_suggestions_lie_inside(self, domain, share):
        assert domain.contains(domain.suggest(At(share), "x"))

    @pytest.mark.parametrize("value", [None, True, "word", "other", -1e9, 0, 0.34, 17, 1e9])
    def test_nearest_lies_inside_and_stays_put(self, domain, value):
        nearest = domain.nearest(value)
        assert domain.contains(nearest)
        assert domain.nearest(nearest) == nearest

    def test_grid_values_lie_inside_each_once(self, domain):
        grid = domain.grid()
        if grid is not None:
            assert all(map(domain.contains, grid))
            assert len({(type(value), value) for value in grid}) == len(grid)

    def test_fixed_parameters_give_the_value_back_through_optuna(self, domain):
        values = [
            value for share in (0.0, 0.2, 0.5, 0.9) for value in [domain.suggest(At(share), "x")]
        ]
        study = optuna.create_study()
        for value in values:
            study.enqueue_trial(domain.fixed("x", value))
            found = domain.suggest(study.ask(), "x")
            assert found == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)

    def test_description_is_one_line(self, domain):
        assert domain.describe()
        assert "\n" not in domain.describe()


@pytest.mark.parametrize(
    ("kind", "a", "b"), [("normal", 1, 2), ("log_normal", 0, 1), ("beta", 2, 3)]
)
@given(share=st.floats(0.001, 0.999))
def test_value_and_share_of_a_curve_undo_each_other(kind, a, b, share):
    assert CURVES[kind].share(CURVES[kind].value(share, a, b), a, b) == pytest.approx(share)


def test_quantile_half_is_the_median():
    assert Quantile("normal", 3.0, 1.0, 0.0, 6.0).at(0.5) == pytest.approx(3.0)
    assert Quantile("log_uniform", 0.0, 2.0, 1.0, 7.3890560989).at(0.5) == pytest.approx(2.7182818)


def test_a_step_of_a_tenth_gives_the_numbers_people_write():
    assert FloatRange(0.1, 0.7, step=0.1).grid() == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def test_weights_are_the_shares_drawn():
    domain = Weighted(("a", "b"), (0.25, 0.75))
    drawn = [domain.suggest(At(i / 1000), "x") for i in range(1000)]
    assert drawn.count("a") == 250


def test_truth_values_are_not_numbers():
    assert not Choice((0, 1)).contains(True)
    assert not Constant(True).contains(1)
    assert not FloatRange(0.0, 1.0).contains(True)
    assert not IntRange(0, 1).contains(False)


def test_unlikely_value_of_weight_0_is_never_drawn():
    domain = Weighted(("a", "b"), (1.0, 0.0))
    assert domain.suggest(At(1.0), "x") == "a"
