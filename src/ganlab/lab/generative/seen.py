"""What is seen of each kind, in words: why it draws as it does, and the numbers that show it."""

from collections.abc import Callable

from ganlab.lab.generative.measures import Measured
from ganlab.lab.generative.summary import Outcome, spelled


class Said:
    """The numbers of an outcome as texts.

    Args:
        outcome: of a kind, with at least one finished run.
        reference: of held-out data.
    """

    def __init__(self, outcome: Outcome, reference: Measured) -> None:
        self.outcome, self.reference = outcome, reference
        self.points = outcome.entry.data.points

    def __call__(self, name: str) -> str:
        """A mean with its standard deviation."""
        score = self.outcome.score(name)
        return spelled(score) if score is not None else "unknown"

    def value(self, name: str) -> float:
        """A mean."""
        score = self.outcome.score(name)
        return score.value if score is not None else float("nan")

    def percent(self, name: str) -> str:
        """A mean as a percentage."""
        return f"{self.value(name):.0%}"

    @property
    def all_modes(self) -> int:
        """Modes, or classes, of the data."""
        return round(self.reference.numbers["all_modes"])

    @property
    def shares(self) -> str:
        """Precision and recall, with what they mean."""
        return (
            f"Precision, the share of samples that lie among the data, is {self('precision')}; "
            f"recall, the share of the data that lies among samples, is {self('recall')}."
        )


def gan(said: Said) -> str:
    """What a GAN drops."""
    what = "whole modes" if said.points else "whole classes, or kinds within them"
    found = (
        f"{said('modes')} of {said.all_modes} modes have a sample close by, and "
        f"{said.percent('high_quality')} of all samples are that close."
        if said.points
        else f"{said('modes')} of {said.all_modes} classes occur, and edges have "
        f"{said.percent('sharpness')} of the sharpness of the data."
    )
    return (
        "The loss of a GAN asks of each sample whether it looks real, and of no real example "
        f"whether it is drawn. So nothing forbids it to drop {what}. "
        f"{found} {said.shares} The frequencies of what it draws are {said('kl')} nats (KL) from "
        "those of the data."
    )


def vae(said: Said) -> str:
    """The blur of a VAE."""
    why = (
        "A VAE pays in nats for every example that it finds unlikely, so it covers too much rather "
        "than too little. Its sample is the mean of p(x | z): an average over all that z may stand "
        "for. "
    )
    if said.points:
        between = 1 - said.value("high_quality")
        return (
            f"{why}The decoder is continuous, so samples also lie on the way from one mode to the "
            f"next: {between:.0%} of them are near no mode, while {said('modes')} of "
            f"{said.all_modes} modes have one close by. {said.shares}"
        )
    return (
        f"{why}Averages of images are blurred: neighbouring pixels differ by "
        f"{said.percent('sharpness')} of what they do in the data. {said.shares}"
    )


def rbm(said: Said) -> str:
    """The mixing of an RBM."""
    names = list(said.outcome.likelihoods())
    nats = said.outcome.likelihoods()
    apart = (
        f" The two estimates of its likelihood, from both ends, are "
        f"{abs(nats[names[0]][1].value - nats[names[1]][1].value):.1f} nats apart; if that is "
        "much, none of them is right."
        if len(names) > 1
        else ""
    )
    where = (
        f"{said('modes')} of {said.all_modes} modes have a sample close by, with "
        f"{said.percent('high_quality')} of all samples. "
        if said.points
        else f"{said('modes')} of {said.all_modes} classes occur. "
    )
    return (
        "An RBM draws by a Markov chain, in training as well. Where the data has modes with little "
        "between them, a chain seldom crosses, and the gradient is that of the modes where the "
        f"chains are. Ten sweeps later the chains of training still correlate by "
        f"{said('chain_memory')} with where they were (1: they stand still; 0: they forget). "
        f"{where}{said.shares}{apart}"
    )


def sbn(said: Said) -> str:
    """The independent pixels of an SBN."""
    return (
        "An SBN draws in one pass from the top down, and given the lowest hidden layer all pixels "
        "are independent. So what is global has to be decided by binary units, and what they do "
        f"not decide is grey or noise: edges have {said.percent('sharpness')} of the sharpness of "
        f"the data. {said.percent('dead_units')} of its hidden units are on, or off, for nearly "
        f"all images. {said('modes')} of {said.all_modes} classes occur. {said.shares}"
    )


PARAGRAPHS: dict[str, Callable[[Said], str]] = {"GAN": gan, "VAE": vae, "RBM": rbm, "SBN": sbn}


def paragraph(outcome: Outcome, reference: Measured) -> str:
    """What is seen of a kind on its data; why there is nothing, if there is nothing."""
    if outcome.entry.refusal is not None:
        return f"It cannot learn this data: {outcome.entry.refusal}."
    if not outcome.found:
        return "No run has finished."
    said = Said(outcome, reference)
    text = PARAGRAPHS[outcome.entry.kind.name](said)
    if said.value("modes") < said.all_modes / 2:
        what = "modes" if said.points else "classes"
        text += f" So few {what} may also mean that it was not trained for long enough."
    return text
