"""One derived video, or one picture from a video: decode, cut, paint, encode.

https://cloudinary.com/documentation/video_manipulation_and_delivery
"""

from __future__ import annotations

import io
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.resampler import AudioResampler
from av.container import InputContainer, OutputContainer
from PIL import Image

from ..errors import ApiError
from ..facts.video import main_sound, main_video, opened, seconds
from .budget import Budget
from .colors import BLACK
from .encode import choose_auto_format, encode
from .paint import paint
from .parse import (
    MissingLayerError,
    Transformation,
    TransformationError,
    without_automatic_gravity,
)
from .pixels import flattened, has_alpha
from .render import Rendered, Surroundings
from .values import ENCODABLE, VIDEO_ENCODABLE, Offset, Quality

MAX_SECONDS = 120.0
MAX_OUTPUT_BYTES = 512 * 1024 * 1024
_CODECS = {
    "mp4": ("mp4", "libx264", "aac"),
    "mov": ("mov", "libx264", "aac"),
    "webm": ("webm", "libvpx-vp9", "libopus"),
}
# Parameters about time and sound: a component of these alone leaves each frame as it is.
_NOT_PAINTED = frozenset({"so", "eo", "du", "q", "f", "fl", "ac", "vc"})

Cut = tuple[float, float]


def render_video(
    path: Path,
    stored: str,
    transformation: Transformation,
    extension: str | None,
    accept: str,
    surroundings: Surroundings | None = None,
) -> Rendered:
    """A video as the transformation asks, or one picture of it when that is the format asked for.

    Blocks. Raises ApiError 400 for a file or a format that cannot be done or would take too long,
    404 for a layer that is not stored, and TransformationError for sizes out of bounds.
    """
    wanted = transformation.last("f") or extension or stored
    around = surroundings or Surroundings()
    with opened(path, stored) as container:
        video = main_video(container)
        if video is None:
            raise ApiError(400, f"Unsupported transformation on this server - {stored} (audio)")
        try:
            if wanted in ENCODABLE or (wanted == "auto" and extension in ENCODABLE):
                return _picture(container, video, transformation, wanted, accept, around)
            if wanted == "auto":
                wanted = "mp4"
            if wanted not in VIDEO_ENCODABLE:
                raise ApiError(400, f"Invalid extension in transformation: {wanted}")
            return _Transcoding(container, video, transformation, wanted, around).run()
        except MissingLayerError as error:
            raise ApiError(404, f"Resource not found - {error}") from error


def _picture(
    container: InputContainer,
    video: Any,
    transformation: Transformation,
    wanted: str,
    accept: str,
    around: Surroundings,
) -> Rendered:
    """The frame at the start offset; without one that in the middle."""
    length = seconds(container)
    offset: Offset | None = transformation.last("so")
    at = offset.seconds(length) if offset else length / 2
    image = _frame_at(container, video, min(max(at, 0.0), length))
    painted = paint(image, transformation, around.regions, around.open_layer)
    if wanted == "auto":
        wanted = choose_auto_format(
            accept, "jpg", has_alpha(painted), pixels=painted.width * painted.height
        )
    data = encode(painted, wanted, transformation.last("q"), transformation.flags)
    return Rendered(data, wanted, painted.width, painted.height)


def _frame_at(container: InputContainer, video: Any, at: float) -> Image.Image:
    """The frame shown at that time, the last one past the end."""
    deadline = time.monotonic() + MAX_SECONDS
    start = video.start_time or 0
    container.seek(start + int(at / video.time_base), stream=video)
    shown = None
    for frame in container.decode(video):
        _check_time(deadline)
        if shown is not None and _time(frame, video) > at + 1e-6:
            break
        shown = frame
    if shown is None:
        raise ApiError(400, "Unsupported video format or file")
    return _upright(shown)


def _time(frame: Any, stream: Any) -> float:
    """Seconds from the stream's start."""
    if frame.pts is None:
        return 0.0
    return float((frame.pts - (stream.start_time or 0)) * frame.time_base)


def _upright(frame: Any) -> Image.Image:
    image: Image.Image = frame.to_image()
    # FFmpeg's rotation counts against the clock, as Pillow's does.
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise ApiError(400, "Video is too large to process synchronously: it takes too long")


def cut(transformation: Transformation, length: float) -> Cut:
    """Start and end, in seconds, of what is left; TransformationError when nothing is."""
    start, end = 0.0, length
    for component in transformation.components:
        first: Offset | None = component.get("so")
        last: Offset | None = component.get("eo")
        lasts: Offset | None = component.get("du")
        span = end - start
        begin = start + min(first.seconds(span), span) if first else start
        if last is not None:
            end = min(end, start + last.seconds(span))
        elif lasts is not None:
            end = min(end, begin + lasts.seconds(span))
        start = begin
    if end - start <= 0:
        raise TransformationError("Invalid start offset or end offset: nothing is left")
    return start, end


class _Transcoding:
    """Writes one video anew. The frames are painted one by one; sound is cut along."""

    def __init__(
        self,
        container: InputContainer,
        video: Any,
        transformation: Transformation,
        wanted: str,
        around: Surroundings,
    ) -> None:
        self._source = container
        self._video = video
        self._transformation = without_automatic_gravity(transformation)
        self._paints = any(
            component.values.keys() - _NOT_PAINTED for component in transformation.components
        )
        self._wanted = wanted
        self._around = around
        self._deadline = time.monotonic() + MAX_SECONDS
        self._start, self._end = cut(transformation, seconds(container) or float("inf"))
        silent = transformation.last("ac") == "none"
        self._sound = None if silent else main_sound(container)
        self._size = (0, 0)

    def run(self) -> Rendered:
        muxer, _, _ = _CODECS[self._wanted]
        file = io.BytesIO()
        with av.open(file, "w", format=muxer) as target:
            self._write(target, file)
        return Rendered(file.getvalue(), self._wanted, *self._size)

    def _write(self, target: OutputContainer, file: io.BytesIO) -> None:
        streams = [stream for stream in (self._video, self._sound) if stream is not None]
        if self._start > 0:
            start = self._video.start_time or 0
            self._source.seek(start + int(self._start / self._video.time_base), stream=self._video)
        picture, sound, resampler = None, None, None
        if self._sound is not None:
            sound, resampler = self._sound_stream(target)
        ended: set[int] = set()
        waiting: list[Any] = []
        samples = 0
        for packet in self._source.demux(streams):
            _check_time(self._deadline)
            if file.tell() > MAX_OUTPUT_BYTES:
                raise ApiError(400, "Video is too large to process synchronously")
            frames: list[Any] = list(packet.decode())
            for frame in frames:
                at = _time(frame, packet.stream)
                if at >= self._end:
                    ended.add(packet.stream.index)
                    continue
                if at < self._start - 1e-6:
                    continue
                if packet.stream is self._video:
                    drawn = self._drawn(frame)
                    if picture is None:
                        picture = self._picture_stream(target, drawn)
                        # A container is begun by its first packet, and must know the video first.
                        target.mux(waiting)
                        waiting = []
                    drawn.pts = round((at - self._start) / picture.codec_context.time_base)
                    drawn.time_base = picture.codec_context.time_base
                    target.mux(picture.encode(drawn))
                elif sound is not None and resampler is not None:
                    frame.pts = None
                    for piece in resampler.resample(frame):
                        piece.pts, piece.time_base = samples, Fraction(1, piece.sample_rate)
                        samples += piece.samples
                        encoded = sound.encode(piece)
                        if picture is None:
                            waiting.extend(encoded)
                        else:
                            target.mux(encoded)
            if len(ended) == len(streams):
                break
        if picture is None:
            raise TransformationError("Invalid start offset or end offset: nothing is left")
        target.mux(picture.encode())
        if sound is not None:
            target.mux(sound.encode())

    def _drawn(self, frame: Any) -> Any:
        """The frame as it is to be encoded, both sides even."""
        if not self._paints and not frame.rotation:
            size = (frame.width - frame.width % 2, frame.height - frame.height % 2)
            return frame.reformat(*size, format="yuv420p")
        image = _upright(frame)
        if self._paints:
            budget = Budget(deadline=self._deadline)
            image = paint(
                image,
                self._transformation,
                self._around.regions,
                self._around.open_layer,
                budget,
                ground=BLACK,
            )
        if has_alpha(image):
            image = flattened(image, BLACK)
        size = (max(2, image.width - image.width % 2), max(2, image.height - image.height % 2))
        if image.size != size:
            image = image.resize(size, Image.Resampling.BICUBIC)
        return av.VideoFrame.from_image(image.convert("RGB")).reformat(format="yuv420p")

    def _picture_stream(self, target: OutputContainer, first: Any) -> Any:
        rate = self._video.average_rate or self._video.guessed_rate or Fraction(25)
        codec = _CODECS[self._wanted][1]
        stream: Any = target.add_stream(codec, rate=min(rate, Fraction(120)))
        self._size = (first.width, first.height)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        # Fine enough for frames that do not come at one rate.
        stream.codec_context.time_base = Fraction(1, 90_000)
        stream.options = _encoder_options(codec, self._transformation.last("q"))
        return stream

    def _sound_stream(self, target: OutputContainer) -> tuple[Any, AudioResampler]:
        assert self._sound is not None
        codec = _CODECS[self._wanted][2]
        layout = "mono" if self._sound.codec_context.layout.nb_channels == 1 else "stereo"
        given = self._sound.codec_context.sample_rate
        rate = 48_000 if codec == "libopus" or given not in (44_100, 48_000) else given
        stream: Any = target.add_stream(codec, rate=rate, layout=layout)
        sample = "flt" if codec == "libopus" else "fltp"
        size = 960 if codec == "libopus" else 1024
        return stream, AudioResampler(sample, layout, rate, frame_size=size)


def _encoder_options(codec: str, quality: Quality | None) -> dict[str, str]:
    """A lower quality is a higher rate factor."""
    number = quality.number if quality else 80
    if codec == "libx264":
        return {"preset": "veryfast", "crf": str(round(51 - number * 0.35))}
    factor = str(round(63 - number * 0.38))
    return {"deadline": "realtime", "cpu-used": "8", "crf": factor, "b": "0"}
