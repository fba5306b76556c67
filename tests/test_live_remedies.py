"""What the page advises against an ailment: its own choices, and only what is not in force."""

from dataclasses import replace

import pytest

from ganlab.health.verdicts import OF_PLAYERS, OF_SAMPLES
from ganlab.lab.live import Setup
from ganlab.lab.live.desk import STOPS
from ganlab.lab.live.remedies import REMEDIES, advice

NAMES = [ailment.name for ailment in (*OF_PLAYERS, *OF_SAMPLES)]


def test_every_ailment_that_a_page_reports_has_remedies():
    assert set(REMEDIES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_remedy_that_is_in_force_is_not_advised(name):
    bare = Setup(loss="minimax", d_rate=1e-3, g_rate=1e-3, momentum=0.5)
    assert advice(name, bare).startswith("; try ")
    cured = Setup(
        loss="wasserstein",
        regularizers=(("gradient_penalty", 1.0),),
        k=2,
        g_rate=1e-5,
        d_rate=1e-4,
        momentum=0.0,
    )
    assert advice(name, cured) == ("; try one step of D" if name == "discriminator-won" else "")


def test_the_page_s_own_words_are_used():
    assert advice("mode-collapse", Setup(d_rate=1e-3, momentum=0.5)) == (
        "; try a higher learning rate of D, momentum 0, two steps of D or the loss wasserstein "
        "with gradient_penalty"
    )


@pytest.mark.parametrize("stop", ["mode-collapse", "oscillation"])
def test_the_cure_of_a_stop_is_among_the_remedies(stop):
    """The tour and the verdict beside it do not contradict each other."""
    setup, change = STOPS[stop].setup, STOPS[stop].change
    assert change["d_rate"] > setup.d_rate
    assert "a higher learning rate of D" in advice(stop, setup)
    assert "a higher learning rate of D" not in advice(stop, replace(setup, **change))
    assert "a lower learning rate of D" not in advice(stop, setup)
