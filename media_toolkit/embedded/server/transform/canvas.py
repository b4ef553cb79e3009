"""The picture that painters hand on to one another, with all that they need to know of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from PIL import Image

from .budget import Budget
from .colors import WHITE, Color
from .geometry import Regions, Size
from .layers import ImageLayer
from .parse import MissingLayerError

# Opens the picture of a layer; MissingLayerError when there is none.
Opener = Callable[[ImageLayer], AbstractContextManager[Image.Image]]


def no_layers(layer: ImageLayer) -> AbstractContextManager[Image.Image]:
    """An opener for where no stored pictures are at hand."""
    raise MissingLayerError(layer.public_id)


@dataclass
class Canvas:
    """A picture while it is being painted.

    `size` is the size that coordinates refer to. It differs from `image.size` only until the
    first resize, when a JPEG was decoded at a reduced size or a document at
    a larger one. `regions` move with the picture.
    """

    image: Image.Image
    size: Size
    original: Size
    dpr: float = 1.0
    regions: Regions = field(default_factory=Regions)
    open_layer: Opener = no_layers
    budget: Budget = field(default_factory=Budget)
    ground: Color = WHITE

    def replace(self, image: Image.Image) -> None:
        """Go on with another picture."""
        self.image = image
        self.size = image.size
