"""Decoding of images: decode_jpeg, _png, _bmp, _gif, _webp and decode_image.

As in TensorFlow the format is read from the first bytes, and several of the functions take one
another's formats.  The codecs are in `image_jpeg`, `image_png`, `image_bmp`, `image_gif` and
`image_webp`; they are loaded when an image of their kind turns up.

Images of one block differ in size, so these primitives have no batch rule: the engine runs
them, and what follows until sizes are known, row by row on its threads.  The decoders work
without the GIL.  A dataset may have JPEGs decoded on a GPU (`image_nvimgcodec`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .comparison import equal
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError, UnimplementedError
from .image_dtypes import convert_image_dtype
from .image_nvimgcodec import decode as decode_on_gpu, decoding
from .primitive import Primitive
from .string_array import StringArray
from .string_ops import substr
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "decode_and_crop_jpeg",
    "decode_bmp",
    "decode_gif",
    "decode_image",
    "decode_jpeg",
    "decode_png",
    "decode_webp",
    "extract_jpeg_shape",
    "is_jpeg",
]


def decode_jpeg(
    contents: Any,
    channels: int = 0,
    ratio: int = 1,
    fancy_upscaling: bool = True,
    try_recover_truncated: bool = False,
    acceptable_fraction: float = 1,
    dct_method: str = "",
    name: str | None = None,
) -> Tensor:
    """The pixels of a JPEG (or of a PNG, or a GIF of one frame).

    The bytes are TensorFlow's: both decode with libjpeg-turbo and the same settings.  They
    may differ for images of fewer than eight pixels on a side read at a `ratio` above 1, where
    several scales give the same size; and in what is missing of a truncated file, which is grey
    here.

    Args:
        contents: scalar string, the file.
        channels: 0 for the file's own number, 1 for grey, 3 for RGB.
        ratio: 1, 2, 4 or 8: decode at this fraction of the size, which is faster.
        fancy_upscaling: interpolate chroma smoothly.
        try_recover_truncated: take a file that ends early, its missing part grey.
        acceptable_fraction: below 1 not supported for truncated files; use the argument before.
        dct_method: "INTEGER_FAST", which "" means too, or "INTEGER_ACCURATE".

    Returns:
        uint8 [height, width, channels].

    Raises:
        InvalidArgumentError: `contents` is no such image or damaged, or an argument is wrong.
    """
    return DecodeJpeg(
        contents, channels=channels or 0, ratio=ratio, fancy_upscaling=bool(fancy_upscaling),
        try_recover_truncated=bool(try_recover_truncated),
        acceptable_fraction=float(acceptable_fraction), dct_method=dct_method,
    )  # fmt: skip


def decode_and_crop_jpeg(
    contents: Any,
    crop_window: Any,
    channels: int = 0,
    ratio: int = 1,
    fancy_upscaling: bool = True,
    try_recover_truncated: bool = False,
    acceptable_fraction: float = 1,
    dct_method: str = "",
    name: str | None = None,
) -> Tensor:
    """The pixels of a window of a JPEG; otherwise like `decode_jpeg`.

    They are those of the whole image's window.  TensorFlow's differ by a few levels at the
    window's edges where chroma is subsampled: it smoothes chroma as though the image ended
    there.

    Args:
        contents: scalar string, the file.
        crop_window: int32 [4]: y, x, height and width of the window.
        channels, ratio, fancy_upscaling, try_recover_truncated, acceptable_fraction,
            dct_method: see `decode_jpeg`.

    Raises:
        InvalidArgumentError: the window does not lie in the image, or it is no JPEG.
    """
    return DecodeAndCropJpeg(
        contents, crop_window, channels=channels or 0, ratio=ratio,
        fancy_upscaling=bool(fancy_upscaling),
        try_recover_truncated=bool(try_recover_truncated),
        acceptable_fraction=float(acceptable_fraction), dct_method=dct_method,
    )  # fmt: skip


def decode_png(
    contents: Any, channels: int = 0, dtype: Any = dtypes.uint8, name: str | None = None
) -> Tensor:
    """The pixels of a PNG (or of a JPEG, or a GIF of one frame).

    Args:
        contents: scalar string, the file.
        channels: 0 for the file's own number, 1 grey, 3 RGB, 4 RGB + alpha.
        dtype: uint8 or uint16; samples are cut to 8 bits or widened to 16.

    Returns:
        `dtype` [height, width, channels].

    Raises:
        InvalidArgumentError: `contents` is no such image or damaged.
    """
    return DecodePng(contents, channels=channels or 0, dtype=as_dtype(dtype))


def decode_bmp(contents: Any, channels: int = 0, name: str | None = None) -> Tensor:
    """The pixels of an uncompressed BMP of 8, 24 or 32 bits a pixel.

    Args:
        contents: scalar string, the file.
        channels: 0 for the file's own number, 3 RGB, 4 RGB + alpha.

    Returns:
        uint8 [height, width, channels].

    Raises:
        InvalidArgumentError: `contents` is no such BMP.
    """
    return DecodeBmp(contents, channels=channels or 0)


def decode_gif(contents: Any, name: str | None = None) -> Tensor:
    """The frames of a GIF (or a JPEG or PNG as one frame), uint8 [frames, height, width, 3].

    Raises:
        InvalidArgumentError: `contents` is no such image or damaged.
    """
    return DecodeGif(contents)


def decode_webp(
    contents: Any, channels: int = 0, dtype: Any = dtypes.uint8, name: str | None = None
) -> Tensor:
    """The frames of a WebP, uint8 [frames, height, width, 3 or 4].

    Args:
        contents: scalar string, the file.
        channels: 0, or the file's own number: 4 where it has alpha or is an animation.
        dtype: uint8.

    Raises:
        InvalidArgumentError: `contents` is no WebP or damaged.
    """
    return DecodeWebP(contents, channels=channels or 0, dtype=as_dtype(dtype))


def decode_image(
    contents: Any,
    channels: int | None = None,
    dtype: Any = dtypes.uint8,
    name: str | None = None,
    expand_animations: bool = True,
) -> Tensor:
    """The pixels of a JPEG, PNG, BMP, GIF or WebP.

    Args:
        contents: scalar string, the file.
        channels: 0 or None for the file's own number, 1 grey, 3 RGB, 4 RGB + alpha.
        dtype: of the result; the values fill its range, [0, 1] for floats.
        expand_animations: GIFs and WebPs have four axes, [frames, height, width, channels];
            else all images have three, those of an animation's first frame.

    Raises:
        InvalidArgumentError: `contents` is no such image or damaged.
    """
    dtype = as_dtype(dtype)
    decoded = dtype if dtype in _IMAGE_DTYPES else dtypes.uint16
    image = DecodeImage(
        contents, channels=channels or 0, dtype=decoded,
        expand_animations=bool(expand_animations),
    )  # fmt: skip
    return image if decoded is dtype else convert_image_dtype(image, dtype)


def extract_jpeg_shape(
    contents: Any, output_type: Any = dtypes.int32, name: str | None = None
) -> Tensor:
    """Height, width and channels of a JPEG, as a vector, from its header alone.

    Raises:
        InvalidArgumentError: `contents` is no JPEG.
    """
    return ExtractJpegShape(contents, output_type=as_dtype(output_type))


def is_jpeg(contents: Any, name: str | None = None) -> Tensor:
    """Whether `contents` begins as a JPEG does."""
    return equal(substr(contents, 0, 3), b"\xff\xd8\xff")


# -- formats ----------------------------------------------------------------------------------

_MAGIC = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"),
          (b"BM", "BMP"))  # fmt: skip
_IMAGE_DTYPES = (dtypes.uint8, dtypes.uint16, dtypes.float32)


def _format(start: bytes) -> str:
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    raise InvalidArgumentError(
        "Unknown image file format. One of JPEG, PNG, GIF, BMP, WebP required."
    )


def _decode(
    x: StringArray,
    op: str,
    *,
    channels: int = 0,
    dtype: DType = dtypes.uint8,
    expand_animations: bool = True,
    crop: Any = None,
    **jpeg: Any,
) -> np.ndarray:
    """The pixels of one image for the operation `op`; errors name it."""
    if x.starts.ndim:
        raise ValueError(f"`contents` must be scalar but got shape {list(x.shape)}")
    data = x.data[int(x.starts) : int(x.ends)]
    try:
        if not data.size:
            raise InvalidArgumentError("Input is empty.")
        kind = _format(data[:12].tobytes())
        return _decode_as(kind, data, op, channels, dtype, expand_animations, crop, jpeg)
    except (InvalidArgumentError, UnimplementedError) as error:
        raise type(error)(f"{error.message} [Op:{op}]", op=op) from error.__cause__


def _decode_as(kind: str, data: np.ndarray, op: str, channels: int, dtype: DType,
               expand: bool, crop: Any, jpeg: dict[str, Any]) -> np.ndarray:  # fmt: skip
    if op == "DecodeAndCropJpeg" and kind != "JPEG":
        raise InvalidArgumentError(
            f"DecodeAndCropJpeg operation can run on JPEG only, but detected {kind}."
        )
    if op == "DecodeBmp" and kind != "BMP":
        raise InvalidArgumentError(
            f"Trying to decode {kind} format using DecodeBmp op. Use `decode_{kind.lower()}` "
            "or `decode_image` instead."
        )
    if kind == "JPEG":
        if decoding.place is not None and op == "DecodeJpeg":
            pixels = _on_gpu(data, channels, **jpeg)
            if pixels is not None:
                return pixels
        from . import image_jpeg

        return _four_axes(
            _as_dtype(image_jpeg.decode(data, channels=channels, crop=crop, **jpeg), dtype), op
        )
    if kind == "PNG":
        from . import image_png

        bits = 8 if dtype is dtypes.uint8 else 16
        pixels = image_png.decode(data.tobytes(), channels=channels, bits=bits)
        return _four_axes(_as_dtype(pixels, dtype), op)
    if kind == "BMP":
        from . import image_bmp

        if op not in ("DecodeBmp", "DecodeImage"):
            raise InvalidArgumentError(
                "Trying to decode BMP format using a wrong op. Use `decode_bmp` or "
                f"`decode_image` instead. Op used: {op}"
            )
        return _as_dtype(image_bmp.decode(data, channels=channels), dtype)
    if kind == "GIF":
        from . import image_gif

        if channels not in (0, 3):
            raise InvalidArgumentError(f"channels must be 0 or 3 for GIF, got {channels}")
        frames = image_gif.decode(data.tobytes(), animated=expand)
        if op in ("DecodePng", "DecodeJpeg"):
            if len(frames) != 1:
                raise InvalidArgumentError(
                    f"Got {len(frames)} frames, but animated gifs can only be decoded by "
                    "hr.io.decode_gif or hr.io.decode_image"
                )
            expand = False
        return _as_dtype(frames if expand else frames[0], dtype)
    from . import image_webp

    if op not in ("DecodeWebP", "DecodeImage"):
        raise InvalidArgumentError(
            "Trying to decode WebP format using a wrong op. Use `decode_webp` or "
            f"`decode_image` instead. Op used: {op}"
        )
    if dtype is not dtypes.uint8:
        raise InvalidArgumentError(f"WebP only supports uint8 for dtype, got {dtype.name}")
    frames = image_webp.decode(data.tobytes(), channels=channels, animated=expand)
    return frames if expand else frames[0]


def _on_gpu(data: np.ndarray, channels: int, *, ratio: int, fancy_upscaling: bool,
            try_recover_truncated: bool, fast_dct: bool, **_: Any) -> Any:  # fmt: skip
    """A JPEG's pixels on a GPU; None where the CPU has to decode it."""
    if ratio != 1 or try_recover_truncated or not fast_dct:
        return None
    return decode_on_gpu(data, channels=channels, fancy_upscaling=fancy_upscaling)


def _four_axes(pixels: np.ndarray, op: str) -> np.ndarray:
    return pixels[None] if op == "DecodeGif" else pixels


def _as_dtype(pixels: np.ndarray, dtype: DType) -> np.ndarray:
    """The pixels in the range of `dtype`."""
    if pixels.dtype == dtype.np_dtype:
        return pixels
    if dtype is dtypes.float32:
        most = np.iinfo(pixels.dtype).max
        return pixels.astype(np.float32) * np.float32(1.0 / most)
    return pixels.astype(np.uint16) * np.uint16(256)


# -- primitives -------------------------------------------------------------------------------


def _check_contents(x: Any, op: str) -> None:
    if x.shape.rank not in (0, None):
        raise InvalidArgumentError(
            f"`contents` must be scalar but got shape {x.shape} [Op:{op}]", op=op
        )


def _check_channels(channels: Any, op: str) -> Any:
    """The last size of the result."""
    if channels not in (0, 1, 3, 4):
        raise InvalidArgumentError(
            f"`channels` must be 0, 1, 3 or 4 but got {channels} [Op:{op}]", op=op
        )
    return channels or None


def _jpeg_attrs(ratio: int, fancy_upscaling: bool, try_recover_truncated: bool,
                acceptable_fraction: float, dct_method: str) -> dict[str, Any]:  # fmt: skip
    return {
        "ratio": ratio,
        "fancy_upscaling": fancy_upscaling,
        "try_recover_truncated": try_recover_truncated,
        "acceptable_fraction": acceptable_fraction,
        "fast_dct": dct_method != "INTEGER_ACCURATE",
    }


def _jpeg_shape(op: str, x: Any, *, channels: int, ratio: int, dct_method: str,
                **attrs: Any) -> TensorSpec:  # fmt: skip
    _check_contents(x, op)
    if ratio not in (1, 2, 4, 8):
        raise InvalidArgumentError(f"ratio must be 1, 2, 4, or 8, got {ratio} [Op:{op}]", op=op)
    if dct_method not in ("", "INTEGER_FAST", "INTEGER_ACCURATE"):
        raise InvalidArgumentError(
            "dct_method must be one of {'', 'INTEGER_FAST', 'INTEGER_ACCURATE'}, got "
            f"{dct_method!r} [Op:{op}]",
            op=op,
        )
    return TensorSpec([None, None, _check_channels(channels, op)], dtypes.uint8)


_JPEG_DEFAULTS = {
    "channels": 0, "ratio": 1, "fancy_upscaling": True, "try_recover_truncated": False,
    "acceptable_fraction": 1.0, "dct_method": "",
}  # fmt: skip

DecodeJpeg = Primitive(
    "DecodeJpeg",
    "contents: string",
    impl=lambda x, *, channels, **attrs: _decode(
        x, "DecodeJpeg", channels=channels, **_jpeg_attrs(**attrs)
    ),
    shape=lambda x, **attrs: _jpeg_shape("DecodeJpeg", x, **attrs),
    vjp=lambda op, g: (None,),
    check_first=True,
    defaults=_JPEG_DEFAULTS,
)


def _crop_impl(x: Any, window: Any, *, channels: int, **attrs: Any) -> Any:
    if window.shape != (4,):
        raise ValueError(f"crop_size must have four elements, got shape {list(window.shape)}")
    return _decode(
        x, "DecodeAndCropJpeg", channels=channels, crop=tuple(window.tolist()),
        **_jpeg_attrs(**attrs),
    )  # fmt: skip


DecodeAndCropJpeg = Primitive(
    "DecodeAndCropJpeg",
    "contents: string, crop_window: int32",
    impl=_crop_impl,
    shape=lambda x, window, **attrs: _jpeg_shape("DecodeAndCropJpeg", x, **attrs),
    vjp=lambda op, g: (None, None),
    check_first=True,
    defaults=_JPEG_DEFAULTS,
)


def _png_shape(x: Any, *, channels: int, dtype: DType) -> TensorSpec:
    _check_contents(x, "DecodePng")
    if dtype not in (dtypes.uint8, dtypes.uint16):
        raise InvalidArgumentError(
            f"`dtype` for `DecodePng` must be uint8, uint16 but got: {dtype.name} "
            "[Op:DecodePng]",
            op="DecodePng",
        )
    return TensorSpec([None, None, _check_channels(channels, "DecodePng")], dtype)


DecodePng = Primitive(
    "DecodePng",
    "contents: string",
    impl=lambda x, *, channels, dtype: _decode(x, "DecodePng", channels=channels, dtype=dtype),
    shape=_png_shape,
    vjp=lambda op, g: (None,),
    check_first=True,
    defaults={"channels": 0, "dtype": dtypes.uint8},
)


def _bmp_shape(x: Any, *, channels: int) -> TensorSpec:
    _check_contents(x, "DecodeBmp")
    return TensorSpec([None, None, _check_channels(channels, "DecodeBmp")], dtypes.uint8)


DecodeBmp = Primitive(
    "DecodeBmp",
    "contents: string",
    impl=lambda x, *, channels: _decode(x, "DecodeBmp", channels=channels),
    shape=_bmp_shape,
    vjp=lambda op, g: (None,),
    check_first=True,
    defaults={"channels": 0},
)


def _gif_shape(x: Any) -> TensorSpec:
    _check_contents(x, "DecodeGif")
    return TensorSpec([None, None, None, 3], dtypes.uint8)


DecodeGif = Primitive(
    "DecodeGif",
    "contents: string",
    impl=lambda x: _decode(x, "DecodeGif", channels=3),
    shape=_gif_shape,
    vjp=lambda op, g: (None,),
    check_first=True,
)


def _webp_shape(x: Any, *, channels: int, dtype: DType) -> TensorSpec:
    _check_contents(x, "DecodeWebP")
    last = _check_channels(channels, "DecodeWebP")
    return TensorSpec([None, None, None, last], dtypes.uint8)


DecodeWebP = Primitive(
    "DecodeWebP",
    "contents: string",
    impl=lambda x, *, channels, dtype: _decode(x, "DecodeWebP", channels=channels, dtype=dtype),
    shape=_webp_shape,
    vjp=lambda op, g: (None,),
    check_first=True,
    defaults={"channels": 0, "dtype": dtypes.uint8},
)


def _image_shape(x: Any, *, channels: int, dtype: DType, expand_animations: bool) -> TensorSpec:
    _check_contents(x, "DecodeImage")
    if dtype not in _IMAGE_DTYPES:
        raise InvalidArgumentError(
            f"`dtype` for `DecodeImage` must be uint8, uint16, float but got: {dtype.name} "
            "[Op:DecodeImage]",
            op="DecodeImage",
        )
    last = _check_channels(channels, "DecodeImage")
    return TensorSpec(None if expand_animations else [None, None, last], dtype)


DecodeImage = Primitive(
    "DecodeImage",
    "contents: string",
    impl=lambda x, **attrs: _decode(x, "DecodeImage", **attrs),
    shape=_image_shape,
    vjp=lambda op, g: (None,),
    check_first=True,
    defaults={"channels": 0, "dtype": dtypes.uint8, "expand_animations": True},
)


def _extract_impl(x: Any, *, output_type: DType) -> Any:
    from . import image_jpeg

    if x.starts.ndim:
        return np.stack([_extract_impl(row, output_type=output_type) for row in x])
    try:
        height, width, space = image_jpeg.header(x.data[int(x.starts) : int(x.ends)])
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"Invalid JPEG data, size {int(x.ends) - int(x.starts)} [Op:ExtractJpegShape]",
            op="ExtractJpegShape",
        ) from error
    channels = {"Gray": 1, "CMYK": 4, "YCCK": 4}.get(space, 3)
    return np.array([height, width, channels], output_type.np_dtype)


ExtractJpegShape = Primitive(
    "ExtractJpegShape",
    "contents: string",
    impl=_extract_impl,
    shape=lambda x, *, output_type: TensorSpec(x.shape.concatenate([3]), output_type),
    vjp=lambda op, g: (None,),
    batch=lambda ctx, x, **attrs: ExtractJpegShape(x, **attrs),
    defaults={"output_type": dtypes.int32},
)
