"""What a loss needs of the discriminator, as overrides.  Without it, a run is ill or meaningless.

The laboratories, the benchmarks and `sweep=losses` compare losses that have what they need.
"""

ALWAYS = {
    # The critic must be Lipschitz (Arjovsky et al. 2017, section 3).  The penalty is on the
    # gradient at each image, which BatchNorm would mix (Gulrajani et al. 2017, section 4).
    "wasserstein": ("regularizer=[gradient_penalty]", "model.discriminator.norm=none"),
}
ON = {  # (model, loss) -> what the loss needs there besides
    ("toy", "wasserstein"): ("regularizer.gradient_penalty.weight=0.1",),  # points lie units apart
    ("vanilla", "relativistic"): ("regularizer=[r1]",),
    ("vanilla", "relativistic_average"): ("regularizer=[r1]",),
    ("dcgan", "minimax"): ("model.discriminator.norm=spectral",),
}


def needed(loss: str, model: str | None = None) -> list[str]:
    """The overrides that a loss needs.

    Args:
        loss: its name in the config group loss.
        model: its name in the config group model; None: what the loss needs on every model.
    """
    return [*ALWAYS.get(loss, ()), *(ON.get((model, loss), ()) if model is not None else ())]
