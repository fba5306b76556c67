"""The data that a run was trained on."""

from ganlab.data import ImageData, Images
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.restore import move_data, require_known, require_sound
from ganlab.runs.folder import Run
from ganlab.sampler import Sampler


def data_of(run: Run, gan: Sampler, root: str | None, *, trust: bool) -> ImageData:
    """A run's data; reads no images.

    Args:
        run: its folder.
        gan: that it trained.
        root: location of the data, if it has moved since training.
        trust: build parts that are not ganlab's own, if the run's config names any.

    Raises:
        ConfigError: the run's config names what is not trusted.
    """
    config = run.config()
    if not trust:
        require_known(config, ("data",))
    require_sound(run, config, ("data",))
    move_data(config, root)
    return Experiment(**config).image_data(gan)


def images_of(data: ImageData, split: str) -> Images | None:
    """The images of training, or those held out; None: there are none.

    Args:
        data: of a run.
        split: train or test.

    Raises:
        DataError: they are missing or damaged.
    """
    if split == "test":
        return data.test_images()
    data.prepare_data()
    data.setup()
    return data.images
