"""What a video or audio file is: duration, streams, rates, as Cloudinary tells them.

https://cloudinary.com/documentation/video_upload_api_reference
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from ..errors import ApiError

MAX_FRAME_PIXELS = 8192 * 8192
_MAX_COUNTED_PACKETS = 500_000
# The reader is named for each format: FFmpeg left to guess would follow playlists elsewhere.
_READERS = {
    "mp4": "mov",
    "mov": "mov",
    "m4v": "mov",
    "m4a": "mov",
    "3gp": "mov",
    "webm": "matroska",
    "mkv": "matroska",
    "avi": "avi",
    "flv": "flv",
    "mpeg": "mpeg",
    "ts": "mpegts",
    "ogv": "ogg",
    "ogg": "ogg",
    "mp3": "mp3",
    "wav": "wav",
    "flac": "flac",
    "aac": "aac",
    "aiff": "aiff",
}


@contextmanager
def opened(path: Path, kind: str) -> Iterator[InputContainer]:
    """The file, opened by the reader of its format; ApiError 400 when it cannot be read.

    Errors of FFmpeg inside the block are told as such an ApiError too. Raises FileNotFoundError
    when the file is gone.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with av.open(
            str(path),
            format=_READERS.get(kind),
            options={"protocol_whitelist": "file", "probesize": "5000000"},
            metadata_errors="replace",
        ) as container:
            yield container
    except (av.FFmpegError, EOFError, ValueError, MemoryError) as error:
        raise ApiError(400, "Unsupported video format or file") from error


def examine_video(path: Path, kind: str) -> dict[str, Any]:
    """Facts in the words of an upload's answer, with `width` and `height` where there is video.

    The first frame, or the first sound, is decoded. ApiError 400 when there is neither.
    """
    with opened(path, kind) as container:
        video = main_video(container)
        sound = main_sound(container)
        if video is None and sound is None:
            raise ApiError(400, "Unsupported video format or file")
        facts: dict[str, Any] = {}
        rotation = 0
        if video is not None:
            context = video.codec_context
            if not context.width or not context.height:
                raise ApiError(400, "Unsupported video format or file")
            if context.width * context.height > MAX_FRAME_PIXELS:
                raise ApiError(400, f"Video frame is too large: {context.width}x{context.height}")
            first = next(container.decode(video), None)
            if first is None:
                raise ApiError(400, "Unsupported video format or file")
            rotation = round(first.rotation) % 360
            sides = (context.width, context.height)
            facts["width"], facts["height"] = sides if rotation % 180 == 0 else sides[::-1]
        elif sound is not None and next(container.decode(sound), None) is None:
            raise ApiError(400, "Unsupported video format or file")
        facts |= _streams(container, video, sound)
        facts["is_audio"] = video is None
        duration = seconds(container)
        if video is not None:
            rate = video.average_rate or video.guessed_rate
            facts["frame_rate"] = round(float(rate), 4) if rate else 0.0
            facts["rotation"] = rotation
            facts["nb_frames"] = video.frames or _count(path, kind, video.index)
        facts["bit_rate"] = container.bit_rate or (
            round(path.stat().st_size * 8 / duration) if duration else 0
        )
        facts["duration"] = round(duration, 6)
        return facts


def main_video(container: InputContainer) -> Any:
    """The first video stream that is no picture of a cover, None when there is none.

    ApiError 400 when nobody knows how to decode it.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise ApiError(400, "Unsupported video format or file")
            return stream
    return None


def main_sound(container: InputContainer) -> Any:
    """The first audio stream that can be decoded, None when there is none."""
    decodable = (one for one in container.streams.audio if one.codec_context is not None)
    return next(decodable, None)


def _streams(container: InputContainer, video: Any, sound: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if video is not None:
        context = video.codec_context
        facts["video"] = {
            "pix_format": context.pix_fmt or "",
            "codec": video.codec_context.codec.canonical_name,
            "level": context.level,
            "profile": video.profile or "",
            "bit_rate": str(video.bit_rate or context.bit_rate or container.bit_rate or 0),
            "time_base": f"{video.time_base.numerator}/{video.time_base.denominator}",
        }
    if sound is not None:
        context = sound.codec_context
        facts["audio"] = {
            "codec": context.codec.canonical_name,
            "bit_rate": str(sound.bit_rate or context.bit_rate or 0),
            "frequency": context.sample_rate,
            "channels": context.layout.nb_channels,
            "channel_layout": context.layout.name,
        }
    return facts


def seconds(container: InputContainer) -> float:
    """How long the file lasts, 0 when it does not say."""
    if container.duration:
        return container.duration / av.time_base
    longest = 0.0
    for stream in container.streams:
        if stream.duration and stream.time_base:
            longest = max(longest, float(stream.duration * stream.time_base))
    return longest


def _count(path: Path, kind: str, index: int) -> int:
    """The frames of a stream whose container does not say, by its packets."""
    count = 0
    with opened(path, kind) as container:
        for packet in container.demux(container.streams[index]):
            count += packet.size > 0
            if count >= _MAX_COUNTED_PACKETS:
                break
    return count
