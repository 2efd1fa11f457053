"""Figures and image files."""

from pathlib import Path

import pytest
import torch

from easyvae import History
from easyvae.plots import (
    pair_rows,
    plot_grid,
    plot_history,
    plot_images,
    plot_interpolation,
    plot_latents,
    plot_rate_distortion,
    plot_reconstructions,
    save_animation,
    save_images,
    sheet,
)
from test_training_history import rows

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")


def pixels(figure: object) -> torch.Tensor:
    """Draws a figure and returns what it shows, (height, width, 3)."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return torch.from_numpy(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def test_sheet_puts_each_image_in_its_place() -> None:
    """Images go from left to right and from top to bottom, with white between them."""
    images = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 3, 4, 6)
    paper = sheet(images, columns=3, gap=2)
    assert paper.shape == (3, 10, 22)
    assert [int(paper[0, 0, x]) for x in (0, 6, 8, 16)] == [0, 255, 1, 2]
    assert [int(paper[0, 6, x]) for x in (0, 8, 16)] == [3, 4, 255]


def test_floats_and_bytes_make_the_same_sheet() -> None:
    """Floats in [0, 1] are rounded to the bytes they stand for, and values beyond are cut."""
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    assert torch.equal(sheet(images, 2), sheet(images.float() / 255, 2))
    assert int(sheet(torch.full((1, 1, 1, 1), 1.7), 1).max()) == 255


@pytest.mark.parametrize("channels", [1, 3])
def test_figures_show_the_images(channels: int) -> None:
    """A red (or black) picture leaves its colour in the figure."""
    images = torch.zeros(6, channels, 40, 40)
    images[:, 0] = channels == 3
    frames = images[:, None].expand(6, 2, channels, 40, 40)
    colour = torch.tensor([255 * (channels == 3), 0, 0])
    for figure in (
        plot_images(images, title="six"),
        plot_reconstructions(images, images),
        plot_interpolation(images),
        plot_interpolation(frames),
    ):
        assert (pixels(figure) == colour).all(-1).float().mean() > 0.3


def test_curves_have_both_lines_or_one() -> None:
    """Training and validation are drawn where there are both; one epoch is a dot, not nothing."""
    both = plot_history(History(rows(5)))
    assert [len(axes.lines) for axes in both.axes] == [2, 2, 2]
    one = plot_history(History(rows(1, validated=False)))
    assert [len(axes.lines) for axes in one.axes] == [1, 1, 1]
    assert one.axes[0].lines[0].get_marker() == "o"
    with pytest.raises(ValueError, match="no epochs"):
        plot_history(History())


def test_a_png_holds_the_pixels_as_they_are(tmp_path: Path) -> None:
    """Read back, the file has each image's bytes."""
    images = torch.randint(0, 256, (3, 3, 8, 9), dtype=torch.uint8)
    save_images(images, tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.size == (3 * 9 + 2 * 2, 8)
        assert strip.getpixel((11, 5)) == tuple(images[1, :, 5, 0].tolist())
    save_images(images, tmp_path / "large.png", scale=3)
    with Image.open(tmp_path / "large.png") as large:
        assert large.size == (3 * strip.width, 24)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_goes_there_and_back(tmp_path: Path, suffix: str) -> None:
    """Five frames make eight that repeat, and rest at both ends."""
    frames = torch.linspace(0, 1, 5).reshape(5, 1, 1, 1).expand(5, 3, 8, 8)
    save_animation(frames, tmp_path / f"mix{suffix}", seconds=1.0, scale=2)
    with Image.open(tmp_path / f"mix{suffix}") as film:
        assert film.n_frames == 8
        assert film.size == (16, 16)
        assert film.info["loop"] == 0
        film.seek(4)
        assert film.convert("RGB").getpixel((8, 8))[0] > 250


def test_an_animation_of_one_or_two_frames_is_a_file_too(tmp_path: Path) -> None:
    """There is nothing between them to run back over."""
    for count in (1, 2):
        save_animation(torch.rand(count, 3, 8, 8), tmp_path / "mix.gif")
        with Image.open(tmp_path / "mix.gif") as film:
            assert film.n_frames == count


def test_bad_input_is_refused(tmp_path: Path) -> None:
    """Shapes that are no images, unequal pairs, and unknown kinds of files."""
    for images in (torch.rand(3, 8, 8), torch.rand(2, 4, 8, 8), torch.rand(0, 3, 8, 8)):
        with pytest.raises(ValueError, match="`images`"):
            plot_images(images)
    with pytest.raises(ValueError, match="one shape"):
        pair_rows(torch.rand(2, 3, 8, 8), torch.rand(3, 3, 8, 8))
    with pytest.raises(ValueError, match="`frames`"):
        plot_interpolation(torch.rand(3, 8, 8))
    with pytest.raises(ValueError, match=r"must end in \.png"):
        save_images(torch.rand(2, 3, 8, 8), tmp_path / "x.gif")
    with pytest.raises(ValueError, match=r"must end in \.gif"):
        save_animation(torch.rand(2, 3, 8, 8), tmp_path / "x.mp4")
    assert not list(tmp_path.iterdir())


def test_a_grid_has_its_labels() -> None:
    """Rows are named at the left and columns above, and each image is in its place."""
    images = torch.zeros(2, 3, 1, 40, 40)
    images[1, 2] = 1
    figure = plot_grid(images, row_labels=["a", "b"], column_labels=["x", "y", "z"])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["x", "y", "z"]
    shown = axes.images[0].get_array()
    assert shown[10, 10].tolist() == [0, 0, 0]
    assert shown[-10, -10].tolist() == [255, 255, 255]


LONG = ["original", "beta 0.005, fewer layers", "beta 0.005, more latents", "$x$", "i" * 90, ""]


@pytest.mark.parametrize(
    ("rows", "title"), [([], ""), (["a", "a row's very long name"], "a title")], ids=str
)
@pytest.mark.parametrize("shape", [(32, 32), (8, 40), (64, 8)], ids=str)
@pytest.mark.parametrize("columns", [1, 2, 5, 30])
def test_labels_of_columns_never_overlap(
    columns: int, shape: tuple[int, int], rows: list[str], title: str
) -> None:
    """However long, each stays above its images, in the figure, and keeps all its letters."""
    labels = [LONG[(i + 1) % len(LONG)] for i in range(columns)]
    images = torch.zeros(2, columns, 1, *shape)
    figure = plot_grid(images, row_labels=rows, column_labels=labels, title=title)
    pixels(figure)  # draws it with agg
    axes = figure.axes[0]
    texts = axes.get_xticklabels()
    assert ["".join(t.get_text().split()) for t in texts] == [s.replace(" ", "") for s in labels]
    whole = axes.get_window_extent()
    shown = axes.images[0].get_array()[0].mean(-1) == 0  # one row of black images on white
    starts = torch.from_numpy(shown).nonzero()[:: shape[1], 0] * whole.width / len(shown)
    assert len(starts) == columns
    for start, text in zip(starts + whole.x0, texts, strict=True):
        box = text.get_window_extent()
        assert box.x0 > start
        assert box.x1 < start + shape[1] * whole.width / len(shown)
        assert whole.y1 < box.y0
        assert box.y1 < figure.bbox.y1
        if title:
            assert box.y1 < axes._left_title.get_window_extent().y0
    if rows:
        assert min(text.get_window_extent().x0 for text in axes.get_yticklabels()) > 0


def test_labels_break_between_words_if_they_can() -> None:
    """A word is broken only if it fits at no size; a narrow column has smaller letters first."""
    images = torch.zeros(1, 5, 1, 16, 16)
    wide = plot_grid(images, column_labels=["beta 0.005, fewer layers", *"abcd"])
    label = wide.axes[0].get_xticklabels()[0]
    assert label.get_text().split() == ["beta", "0.005,", "fewer", "layers"]
    assert label.get_fontsize() == 9
    narrow = plot_grid(images.repeat(1, 6, 1, 1, 1), column_labels=["originally", *"a" * 29])
    label = narrow.axes[0].get_xticklabels()[0]
    assert label.get_text() == "originally"
    assert 6 <= label.get_fontsize() < 9


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 8, 8), {}),
        (torch.zeros(2, 3, 1, 8, 8), {"row_labels": ["a"]}),
        (torch.zeros(2, 3, 1, 8, 8), {"column_labels": ["a", "b"]}),
    ],
)
def test_a_grid_must_fit_its_labels(images: torch.Tensor, labels: dict[str, list[str]]) -> None:
    """What is no grid, or has too few labels, is an error that says so."""
    with pytest.raises(ValueError, match=r"labels|images"):
        plot_grid(images, **labels)


def test_rate_and_distortion_are_where_they_belong() -> None:
    """Each model is a point at its KL divergence and error, with its name beside it."""
    axes = plot_rate_distortion({"a": (30.0, 0.02), "b": (90.0, 0.01)}).axes[0]
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines]
    assert points == [(30.0, 0.02), (90.0, 0.01)]
    assert [text.get_text() for text in axes.texts] == ["a", "b"]


def test_latents_are_drawn_from_the_fullest_on() -> None:
    """A latent that holds nothing is drawn at the bottom of a logarithmic axis."""
    axes = plot_latents({"a": torch.tensor([0.0, 2.0, 0.5])}).axes[0]
    assert axes.lines[0].get_ydata() == pytest.approx([2.0, 0.5, 1e-4])


def test_figures_of_nothing_are_errors() -> None:
    """There must be a model to draw."""
    for plot in (plot_rate_distortion, plot_latents):
        with pytest.raises(ValueError, match="at least one model"):
            plot({})
