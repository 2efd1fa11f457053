"""Pictures to train on: from a folder, a zip archive, an array or a data set to batches.

Everything becomes one store, `Pictures`, or is streamed from a user's own `DataLoader`:

    pictures = load_pictures("cats.zip", (3, 64, 64))
    print(pictures.report)
    train, validation = split(pictures, 0.1, seed=0)
    for batch in Batches(pictures, train, 128, seed=0, shuffle=True).epoch(0):
        batch.images  # (128, 3, 64, 64), uint8
"""

from easyvae.data.batches import Batch, Batches, Sample, split
from easyvae.data.convert import as_pictures, check_range
from easyvae.data.decode import ImageError, read_image
from easyvae.data.inspection import Inspection, inspect_pictures
from easyvae.data.load import load_pictures
from easyvae.data.loaders import LoaderBatches, split_loader
from easyvae.data.pictures import Images, Pictures, Report
from easyvae.data.warp import Warp

__all__ = [
    "Batch",
    "Batches",
    "ImageError",
    "Images",
    "Inspection",
    "LoaderBatches",
    "Pictures",
    "Report",
    "Sample",
    "Warp",
    "as_pictures",
    "check_range",
    "inspect_pictures",
    "load_pictures",
    "read_image",
    "split",
    "split_loader",
]
