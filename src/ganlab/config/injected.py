"""Arguments that ganlab passes by itself, which a config cannot set."""

# What ganlab passes to a model's class, if that takes it.
MODEL = {
    "spec",
    "latent",
    "conditioning",
    "loss",
    "g_rule",
    "d_rule",
    "regularizers",
    "augment",
    "d_steps",
    "ema",
    "d_ema",
    "ema_statistics",
    "iterations",
    "seed",
}
# What ganlab passes to a node's target by itself, by the node's path.
INJECTED = {
    "gan": {"generator", "discriminator", *MODEL},
    "model": MODEL,
    "model.generator": {"spec", "latent_dim", "code_dim"},
    "model.discriminator": {"spec"},
    "conditioning": {"spec"},
    "g_optimizer": {"params"},
    "d_optimizer": {"params"},
    "trainer": {
        "max_steps",
        "max_epochs",
        "logger",
        "callbacks",
        "enable_checkpointing",
        "enable_progress_bar",
        "enable_model_summary",
        "gradient_clip_val",
        "gradient_clip_algorithm",
        "accumulate_grad_batches",
    },
}
# The same for the nodes below a path.
BELOW = {
    "model": {"spec", "latent_dim"},
    "logger": {"run", "title", "sweep"},
}
INSTEAD = {
    "trainer.max_steps": "iterations=...",
    "trainer.max_epochs": "iterations=...",
    "trainer.gradient_clip_val": "g_clip=... or d_clip=...",
    "trainer.accumulate_grad_batches": "g_accumulate=... or d_accumulate=...",
}


def injected(path: str) -> set[str]:
    """Names of the arguments that ganlab itself passes to the node at `path`."""
    return INJECTED.get(path, BELOW.get(path.rpartition(".")[0], set()))
