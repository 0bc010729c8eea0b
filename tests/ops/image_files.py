"""Image files made on the spot, for the tests of the decoders."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def picture(height, width, channels=3, seed=0):
    """uint8 [height, width, channels]: waves with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 100 * np.sin(x / 9 + i) + 20 * np.cos(y / 5 * i) for i in range(channels)]
    noisy = np.stack(waves, -1) + rng.normal(0, 12, (height, width, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def saved(image, kind, **options):
    """The bytes of a Pillow image, or an array, in a format."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(height, width, channels=3, seed=0, **options):
    """A JPEG file."""
    return saved(picture(height, width, channels, seed), "JPEG", **{"quality": 90, **options})


def png(samples, kind, depth=8, extra=(), interlaced=False, seed=1):
    """A PNG file of raw samples [height, width, channels], each row with a random filter.

    `kind` is PNG's colour type; `extra` are (name, body) chunks before the data.
    """
    height, width, channels = samples.shape
    rng = np.random.default_rng(seed)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
              (0, 1, 2, 2), (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]  # fmt: skip
    raw = b""
    for top, left, down, right in passes:
        part = samples[top::down, left::right]
        if part.size:
            raw += _filtered(part, channels, depth, rng)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    chunks = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _filtered(part, channels, depth, rng):
    if depth == 16:
        rows = part.astype(">u2").reshape(len(part), -1).view(np.uint8)
    elif depth == 8:
        rows = part.astype(np.uint8).reshape(len(part), -1)
    else:
        bits = np.unpackbits(part.astype(np.uint8).reshape(len(part), -1, 1), axis=2)
        rows = np.packbits(bits[..., 8 - depth :].reshape(len(part), -1), axis=1)
    step = max(1, channels * depth // 8)
    before = np.zeros(rows.shape[1], int)
    out = b""
    for row in rows.astype(int):
        left = np.concatenate([np.zeros(step, int), row[:-step]])[: len(row)]
        corner = np.concatenate([np.zeros(step, int), before[:-step]])[: len(row)]
        kind = int(rng.integers(5))
        base = left + before - corner
        near = [abs(base - v) for v in (left, before, corner)]
        paeth = np.where(
            (near[0] <= near[1]) & (near[0] <= near[2]), left,
            np.where(near[1] <= near[2], before, corner),
        )  # fmt: skip
        guess = [0, left, before, (left + before) // 2, paeth][kind]
        out += bytes([kind]) + ((row - guess) & 255).astype(np.uint8).tobytes()
        before = row
    return out


def bmp(height, width, bits=24, top_down=False, seed=0):
    """An uncompressed BMP file."""
    own = bits // 8
    stride = (own * width + 3) // 4 * 4
    rows = np.zeros((height, stride), np.uint8)
    rows[:, : own * width] = picture(height, width, own, seed).reshape(height, -1)
    size = 54 + rows.size
    head = struct.pack("<2sIHHI", b"BM", size, 0, 0, 54)
    head += struct.pack(
        "<IiiHHIIiiII", 40, width, -height if top_down else height, 1, bits, 0, rows.size,
        0, 0, 0, 0,
    )  # fmt: skip
    return head + rows.tobytes()


def gif(frames, **options):
    """An animated GIF of frames, uint8 arrays."""
    images = [Image.fromarray(f).quantize(32) for f in frames]
    return saved(images[0], "GIF", save_all=True, append_images=images[1:], **options)
