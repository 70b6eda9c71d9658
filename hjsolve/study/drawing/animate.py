"""A solution over its saved times as a GIF or MP4."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from hjsolve.study.errors import ConfigError, RunFailed

from . import line, plane
from .sampled import Sampled, some

Format = Literal["gif", "mp4"]
_DPI = 100
_SECONDS = 6.0
_SLOWEST = 0.5
"""Seconds a frame stays at most."""
_MOST = 240
_HOLD = 1.0
"""Seconds that the last frame of a GIF stays before it starts again."""


def check_animation(kind: Format, times: int) -> None:
    """Refuse, before any work, what cannot be animated: a single time, or an MP4 without ffmpeg."""
    if times < 2:
        raise ConfigError(f"`output.animation` needs at least two `times`; got {times}. List more, or leave it out.")
    if kind == "mp4" and shutil.which("ffmpeg") is None:
        raise ConfigError(
            "`output.animation: mp4` needs the program ffmpeg, which is not on PATH. Install it, or write `gif`."
        )


def animation(data: Sampled, kind: Format) -> bytes:
    """One frame for each saved time (at most 240), in about six seconds; beyond two dimensions a middle section."""
    chosen = some(len(data.ts), _MOST)
    seconds = min(_SECONDS / len(chosen), _SLOWEST)
    frames = (_rendered(data, k) for k in chosen)
    return _gif(frames, seconds) if kind == "gif" else _mp4(frames, seconds)


def _rendered(data: Sampled, k: int) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    flat = data.section((0, 1)) if len(data.axes) > 2 else data
    drawing = line.frame(flat, k) if len(flat.axes) == 1 else plane.frame(flat, k)
    FigureCanvasAgg(drawing)
    content = io.BytesIO()
    drawing.savefig(content, format="png", dpi=_DPI)
    return content.getvalue()


def _gif(frames: Iterator[bytes], seconds: float) -> bytes:
    from PIL import Image

    images = [Image.open(io.BytesIO(frame)).convert("RGB").quantize(128) for frame in frames]
    milliseconds = [max(20, round(1000 * seconds))] * (len(images) - 1) + [round(1000 * _HOLD)]
    content = io.BytesIO()
    images[0].save(content, "GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return content.getvalue()


def _mp4(frames: Iterator[bytes], seconds: float) -> bytes:
    """H.264 by ffmpeg, whose pictures need an even number of pixels a side."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "animation.mp4"
        command = ["ffmpeg", "-loglevel", "error", "-f", "image2pipe", "-framerate", f"{1 / seconds:g}", "-i", "-"]
        command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", str(made)]
        done = subprocess.run(command, input=b"".join(frames), capture_output=True, check=False)
        if done.returncode != 0 or not made.exists():
            raise RunFailed(f"ffmpeg made no animation: {done.stderr.decode(errors='replace').strip()}. Try `gif`.")
        return made.read_bytes()
