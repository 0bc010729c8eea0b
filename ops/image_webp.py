"""WebP: bytes to pixels, through the libwebp that Pillow carries."""

from __future__ import annotations

import io

import numpy as np

from .errors import InvalidArgumentError

__all__ = ["decode"]


def decode(data: bytes, *, channels: int = 0, animated: bool = True) -> np.ndarray:
    """The frames, uint8 [frames, height, width, 3 or 4]; only the first unless `animated`.

    Args:
        data: the file.
        channels: 0 for the file's own; else it must be the file's.
        animated: all frames of an animation.

    Raises:
        InvalidArgumentError: the data are damaged, or have another number of channels.
    """
    from PIL import features
    from PIL.WebPImagePlugin import WebPImageFile

    if channels not in (0, 3, 4):
        raise InvalidArgumentError(f"WebP only supports 3 or 4 channels, got {channels}")
    if not features.check("webp"):
        raise InvalidArgumentError("this build of Pillow has no WebP; install Pillow's wheel")
    try:
        with WebPImageFile(io.BytesIO(data)) as image:
            count = image.n_frames
            own = 4 if image.mode == "RGBA" or count > 1 else 3
            if channels not in (0, own):
                raise InvalidArgumentError(
                    f"Number of channels requested does not match input: {channels}, the file "
                    f"has {own}"
                )
            frames = []
            for k in range(count if animated else 1):
                image.seek(k)
                frames.append(np.asarray(image.convert("RGBA" if own == 4 else "RGB")))
    except InvalidArgumentError:
        raise
    except Exception as error:
        raise InvalidArgumentError(f"Failed to decode WebP image. ({error})") from error
    return np.stack(frames)
