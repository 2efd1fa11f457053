"""Pictures of pictures, of histories and of comparisons: tensors in, matplotlib figures out.

Each `plot_` function returns a figure that is not shown and not kept by pyplot: a notebook
displays it, `figure.savefig(path)` writes it. `save_images` and `save_animation` write plain image
files, pixel by pixel, and need Pillow alone.
"""

from easyvae.plots.curves import plot_history, plot_latents, plot_rate_distortion
from easyvae.plots.grids import plot_grid, plot_images, plot_interpolation, plot_reconstructions
from easyvae.plots.images import pair_rows, save_animation, save_images, sheet

__all__ = [
    "pair_rows",
    "plot_grid",
    "plot_history",
    "plot_images",
    "plot_interpolation",
    "plot_latents",
    "plot_rate_distortion",
    "plot_reconstructions",
    "save_animation",
    "save_images",
    "sheet",
]
