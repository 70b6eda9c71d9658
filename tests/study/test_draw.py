"""Pictures: made for every dimension, their parts inside the page and clear of each other; animations as asked for."""

import io
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from hjsolve.study.drawing import animation, check_animation, picture
from hjsolve.study.drawing.sampled import Sampled, levels_of, sampled, some
from hjsolve.study.errors import ConfigError, RunFailed


def wave(d: int, times: int, n: int = 17, high: float = 1.0, offset: float = 0.0) -> Sampled:
    """u = cos(2 Σ x_i + t) + offset with its gradient."""
    axes = [np.linspace(-1.0, 1.0, n)] * (d - 1) + [np.linspace(-high, high, n)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, d)
    ts = np.linspace(0.0, 1.0, times) if times > 1 else np.array([0.5])
    phase = 2 * points.sum(1) + ts[:, None]
    gradient = np.repeat(-2 * np.sin(phase)[..., None], d, -1)
    data = sampled(ts, points, np.cos(phase) + offset, gradient)
    assert data is not None
    return data


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    return figure, figure.canvas.get_renderer()


CASES = [
    (1, 1, 1.0),
    (1, 3, 1.0),
    (1, 5, 1.0),
    (1, 30, 1.0),
    (2, 1, 1.0),
    (2, 3, 0.2),
    (2, 9, 1.0),
    (2, 2, 8.0),
    (3, 2, 1.0),
    (5, 2, 1.0),
]


@pytest.mark.parametrize(("d", "times", "high"), CASES)
def test_parts_are_labelled_inside_the_page_and_apart(d: int, times: int, high: float) -> None:
    figure, renderer = drawn(picture(wave(d, times, n=17 if d < 4 else 5, high=high)))
    page = figure.bbox.padded(1.0)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    boxes = [axes.get_tightbbox(renderer) for axes in shown]
    for axes, box in zip(shown, boxes, strict=True):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, axes.get_title()
    for a, b in itertools.combinations(boxes, 2):
        across, up = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 2.0 or up <= 2.0  # two pixels, where one label ends and the next begins
    texts = " ".join(f"{a.get_title()} {a.get_xlabel()} {a.get_ylabel()}" for a in shown)
    assert "t = " in texts or d == 1
    assert "x" in texts and "u" in texts
    if d == 5:
        assert "x₃ = 0" in texts and "x₅ = 0" in texts
    for axes in shown:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [t.get_window_extent(renderer) for t in axis.get_ticklabels() if t.get_text() and t.get_visible()]
            if hasattr(axes, "zaxis"):
                continue  # ticks outside a view in space are placed, not drawn
            for a, b in itertools.pairwise(labels):
                assert not a.padded(-1.0).overlaps(b.padded(-1.0))


def test_the_zero_level_is_drawn_where_there_is_one() -> None:
    def thick(figure) -> int:
        return sum(
            len(c.get_linewidths()) > 0 and max(c.get_linewidths()) > 2 for a in figure.axes for c in a.collections
        )

    assert thick(picture(wave(2, 1))) == 1
    assert thick(picture(wave(2, 1, offset=3.0))) == 0


def test_arrows_point_down_the_gradient() -> None:
    data = wave(2, 1)
    (quiver,) = [c for a in picture(data).axes for c in a.collections if type(c).__name__ == "Quiver"]
    places = quiver.get_offsets()
    np.testing.assert_allclose(quiver.U, 2 * np.sin(2 * places.sum(1) + 0.5), rtol=1e-12)
    assert 100 < len(places) < 400


def test_a_constant_and_a_large_number_of_times_are_drawn() -> None:
    data = wave(2, 1)
    drawn(picture(data._replace(u=np.zeros_like(data.u), gradient=np.zeros_like(data.gradient))))
    flat = wave(1, 5)
    drawn(picture(flat._replace(u=np.full_like(flat.u, 1e-3))))
    assert (np.diff(levels_of(np.full(3, 7.0), 5)) > 0).all()
    np.testing.assert_array_equal(some(100, 3), [0, 50, 99])
    np.testing.assert_array_equal(some(2, 9), [0, 1])


def test_scattered_points_have_no_picture() -> None:
    scattered = np.random.default_rng(0).uniform(size=(9, 2))
    assert sampled(np.ones(1), scattered, np.ones((1, 9)), np.ones((1, 9, 2))) is None


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_gif_has_a_frame_for_each_time(d: int) -> None:
    image = Image.open(io.BytesIO(animation(wave(d, 4, n=9), "gif")))
    assert image.n_frames == 4
    frames = []
    for k in range(4):
        image.seek(k)
        frames.append(np.asarray(image.convert("RGB")))
    assert image.info["duration"] == 1000  # the last one stays
    assert all(frame.shape == frames[0].shape for frame in frames)
    assert not np.array_equal(frames[0], frames[3])


def fake_ffmpeg(folder: Path, code: int) -> None:
    """A program of that name which keeps what it is given, or fails."""
    program = folder / "ffmpeg"
    program.write_text(
        '#!/bin/sh\nfor last; do :; done\ncat > "$last"\necho "so it ends" >&2\n'
        f'[ {code} = 0 ] || rm "$last"\nexit {code}\n'
    )
    program.chmod(0o755)


def test_an_mp4_is_made_by_ffmpeg_or_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"ffmpeg, which is not on PATH.*`gif`"):
        check_animation("mp4", 3)
    with pytest.raises(ConfigError, match=r"at least two `times`; got 1"):
        check_animation("gif", 1)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    fake_ffmpeg(tmp_path, 0)
    check_animation("mp4", 3)
    made = animation(wave(1, 3, n=9), "mp4")
    assert made.count(b"\x89PNG") == 3  # the frames, one after the other
    fake_ffmpeg(tmp_path, 1)
    with pytest.raises(RunFailed, match="so it ends"):
        animation(wave(1, 3, n=9), "mp4")
