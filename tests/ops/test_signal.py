"""Fourier and cosine transforms, frames, windows, spectrograms, WAV files."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of, same

import headrace as hr
from headrace import errors

RNG = np.random.default_rng(8)
WIDE = ("float32", "float64")


def rand(*shape):
    return RNG.uniform(-1.0, 1.0, shape)


def case(id, fn, *args, **more):
    """`fn(library, *tensors)` with Headrace and with TensorFlow."""
    return Case(
        id,
        lambda *ts: fn(hr, *ts),
        args,
        lambda tf: lambda *ts: fn(tf, *ts),
        **{"kinds": WIDE, **more},
    )


def parts(lib, y):
    """Complex results as real ones, so that gradients are checked too."""
    return [lib.math.real(y), lib.math.imag(y)]


def spectrum(lib, x, name, n=None):
    """A complex argument made of a real one, transformed."""
    y = lib.complex(x, x[..., ::-1] * x)
    f = getattr(lib.signal, name)
    return f(y) if n is None else f(y, n)


CASES = [
    *[
        case(name, lambda lib, x, f=name: parts(lib, spectrum(lib, x, f)), rand(2, 3, 4))
        for name in ("fft", "ifft", "fft2d", "ifft2d", "fft3d", "ifft3d")
    ],
    *[
        case(
            f"rfft{d or ''}-{n}",
            lambda lib, x, f=f"rfft{d}", n=n: parts(lib, getattr(lib.signal, f)(x, n)),
            rand(2, 3, 5),
            notes={"numeric": d == "3d" or n in ([4], [2, 8])},
        )
        for d, lengths in (
            ("", (None, [5], [4], [8])),
            ("2d", (None, [3, 5], [2, 8])),
            ("3d", (None, [2, 3, 4])),
        )
        for n in lengths
    ],
    *[
        case(
            f"irfft{d or ''}-{n}",
            lambda lib, x, f=f"irfft{d}", n=n: spectrum(lib, x, f, n),
            rand(2, 3, 5),
            notes={"numeric": d == "3d" or n in ([6], [9], [12], [2, 5], [2, 3, 4])},
        )
        for d, lengths in (
            ("", (None, [8], [6], [9], [12])),
            ("2d", (None, [3, 8], [2, 5])),
            ("3d", (None, [2, 3, 4])),
        )
        for n in lengths
    ],
    case("fftshift", lambda lib, x: lib.signal.fftshift(x), rand(3, 4)),
    case("fftshift-axis", lambda lib, x: lib.signal.fftshift(x, axes=1), rand(3, 5)),
    case("ifftshift", lambda lib, x: lib.signal.ifftshift(x, axes=(0, 1)), rand(3, 5)),
    case("frame", lambda lib, x: lib.signal.frame(x, 3, 2), rand(2, 9)),
    case("frame-gaps", lambda lib, x: lib.signal.frame(x, 2, 3), rand(2, 9)),
    case("frame-pad", lambda lib, x: lib.signal.frame(x, 4, 3, True, 7), rand(9)),
    case("frame-short", lambda lib, x: lib.signal.frame(x, 5, 3), rand(2, 3)),
    case("frame-axis", lambda lib, x: lib.signal.frame(x, 3, 2, axis=0), rand(7, 2)),
    case("frame-middle", lambda lib, x: lib.signal.frame(x, 3, 2, axis=1), rand(2, 7, 2)),
    case("frame-int", lambda lib, x: lib.signal.frame(x, 3, 1), np.arange(6)),
    case("overlap_and_add", lambda lib, x: lib.signal.overlap_and_add(x, 2), rand(2, 4, 5)),
    case("overlap-gaps", lambda lib, x: lib.signal.overlap_and_add(x, 4), rand(3, 3)),
    case("overlap-none", lambda lib, x: lib.signal.overlap_and_add(x, 3), rand(3, 3)),
    case("stft", lambda lib, x: parts(lib, lib.signal.stft(x, 6, 3)), rand(2, 20)),
    case(
        "stft-plain",
        lambda lib, x: parts(lib, lib.signal.stft(x, 4, 4, 4, None, pad_end=True)),
        rand(10),
    ),
    case(
        "inverse_stft",
        lambda lib, x: lib.signal.inverse_stft(
            lib.complex(x, x * x), 6, 3, window_fn=lib.signal.inverse_stft_window_fn(3)
        ),
        rand(2, 4, 5),
    ),
    case(
        "inverse_stft-long",
        lambda lib, x: lib.signal.inverse_stft(lib.complex(x, x * x), 10, 5, 8),
        rand(4, 5),
    ),
    *[
        case(
            f"{f}-{t}-{norm}-{n}",
            lambda lib, x, f=f, t=t, norm=norm, n=n: getattr(lib.signal, f)(x, t, n, norm=norm),
            rand(2, 5),
        )
        for f in ("dct", "idct")
        for t in (1, 2, 3, 4)
        for norm in (None, "ortho")
        for n in (None, 4, 7)
        if not (t == 1 and norm) and not (f == "idct" and n)
    ],
    case("mdct", lambda lib, x: lib.signal.mdct(x, 8), rand(2, 20)),
    case("mdct-ortho", lambda lib, x: lib.signal.mdct(x, 4, None, True, "ortho"), rand(10)),
    case(
        "inverse_mdct",
        lambda lib, x: lib.signal.inverse_mdct(x),
        rand(2, 3, 4),
        notes={"static": True},
    ),
    case(
        "inverse_mdct-ortho",
        lambda lib, x: lib.signal.inverse_mdct(x, None, "ortho"),
        rand(3, 4),
        notes={"static": True},
    ),
    case("mfcc", lambda lib, x: lib.signal.mfccs_from_log_mel_spectrograms(x), rand(2, 3, 6)),
]


@each([c for c in CASES if not c.notes.get("static")])
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_peers(tf, case, kind):
    # TensorFlow lacks gradients of 3-D transforms and cut inputs; that of cut spectra is wrong.
    grad = not case.notes.get("numeric")
    tolerance = 1e-5 if kind == "float32" else 1e-9
    chosen = Case(**{**case.__dict__, "grad": grad, "second": False, "tolerance": tolerance})
    check_against_tensorflow(tf, chosen, kind)


class TestAnyAxes:
    """TensorFlow runs these on no CPU; NumPy defines them."""

    X = RNG.normal(size=(3, 4, 5)) + 1j * RNG.normal(size=(3, 4, 5))

    @pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
    @pytest.mark.parametrize(
        ("s", "axes"), [(None, None), (None, [1]), ([2, 6], None), ([2, 6], [2, 0])]
    )
    @pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
    def test_values(self, name, s, axes, norm):
        x = self.X.real if name == "rfftn" else self.X
        own = axes if axes is not None or s is None else [-2, -1]
        want = getattr(np.fft, name)(x, s, own, norm)
        got = getattr(hr.signal, name + "d")(hr.constant(x), s, axes, norm)
        np.testing.assert_allclose(got.numpy(), want, atol=1e-12)

    def test_laws(self):
        x = self.X.real[:, :2, :2].copy()

        def all_of(t):
            y = hr.signal.rfftnd(t, [2, 4], [2, 0], "ortho")
            z = hr.signal.fftnd(y, [3], [1])
            back = hr.signal.ifftnd(z, axes=[0, 1])
            return [hr.math.real(back), hr.signal.irfftnd(y, [2, 3], [2, 0])]

        check_laws(Case("nd", all_of, (x,)))

    @pytest.mark.parametrize("name", ["fftnd", "ifftnd", "rfftnd", "irfftnd"])
    def test_at_the_top_level(self, name):
        x = hr.constant(self.X.real if name == "rfftnd" else self.X)
        same(getattr(hr, name)(x, [4, 6], [0, 2]), getattr(hr.signal, name)(x, [4, 6], [0, 2]))

    def test_errors(self):
        with pytest.raises(errors.InvalidArgumentError, match="axes"):
            hr.signal.fftnd(self.X, axes=[3])
        with pytest.raises(ValueError, match="norm"):
            hr.signal.fftnd(self.X, norm="other")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(
    "name", ["hann_window", "hamming_window", "kaiser_window", "vorbis_window"]
)
def test_windows(tf, name, dtype):
    for n in (1, 2, 5, 16):
        ours, theirs = (
            getattr(lib.signal, name)(n, dtype=lib.as_dtype(dtype)) for lib in (hr, tf)
        )
        same(ours, theirs, 6e-3 if dtype == "float16" else 2e-6)
        if "h" in name[:2]:
            ours, theirs = (getattr(lib.signal, name)(n, periodic=False) for lib in (hr, tf))
            same(ours, theirs, 2e-6)
    same(
        hr.signal.kaiser_bessel_derived_window(8, 4.0),
        tf.signal.kaiser_bessel_derived_window(8, 4.0),
        2e-6,
    )


@pytest.mark.parametrize(
    "arguments", [{}, {"num_mel_bins": 7, "num_spectrogram_bins": 65, "sample_rate": 16000}]
)
def test_mel(tf, arguments):
    ours, theirs = (lib.signal.linear_to_mel_weight_matrix(**arguments) for lib in (hr, tf))
    same(ours, theirs, 1e-4)
    ours, theirs = (
        lib.signal.linear_to_mel_weight_matrix(dtype=lib.float64) for lib in (hr, tf)
    )
    same(ours, theirs, 1e-9)


def test_stft_is_inverted():
    x = rand(64).astype(np.float32)
    spectra = hr.signal.stft(x, 16, 4)
    window = hr.signal.inverse_stft_window_fn(4)
    back = hr.signal.inverse_stft(spectra, 16, 4, window_fn=window).numpy()
    np.testing.assert_allclose(back[16:-16], x[16:-16], atol=1e-6)


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "args", "match"),
        [
            ("rfft", (hr.zeros(3, hr.float16),), "float32"),
            ("rfft2d", (np.zeros(3, np.float32),), "rank"),
            ("frame", (1.0, 2, 1), "rank"),
            ("frame", ([1.0, 2.0], 0, 1), "frame_length must be positive"),
            ("overlap_and_add", ([1.0], 1), "rank"),
            ("mdct", ([1.0] * 8, 6), "multiple of 4"),
            ("dct", ([1.0], 1), "greater than one"),
            ("dct", ([1.0, 2.0], 5), "Types"),
            ("dct", ([1.0, 2.0], 2, 0), "positive"),
            ("dct", ([1.0, 2.0], 2, None, -1, "other"), "normalization"),
            ("dct", ([1.0, 2.0], 2, None, 0), "axis"),
            ("hann_window", (3, True, "int32"), "floating"),
            ("linear_to_mel_weight_matrix", (0,), "num_mel_bins"),
            ("linear_to_mel_weight_matrix", (4, 9, 8000, 100.0, 5000.0), "Nyquist"),
        ],
    )
    def test_kinds(self, name, args, match):
        with pytest.raises((ValueError, errors.UnimplementedError), match=match):
            getattr(hr.signal, name)(*args)

    def test_complex_is_asked_for(self):
        with pytest.raises(errors.InvalidArgumentError, match="allowed values"):
            hr.signal.fft(np.zeros(3, np.float32))


class TestWav:
    AUDIO = np.array([[0.5, -1.2], [1.0, 0.25], [-0.999, 3 / 65536], [0.1, -0.1]], np.float32)

    def test_bytes_are_the_same(self, tf):
        ours, theirs = (lib.audio.encode_wav(self.AUDIO, 8000).numpy() for lib in (hr, tf))
        assert ours == theirs

    @pytest.mark.parametrize("channels", [-1, 1, 2, 3])
    @pytest.mark.parametrize("samples", [-1, 2, 6])
    def test_decoding(self, tf, channels, samples):
        data = hr.audio.encode_wav(self.AUDIO, 8000).numpy()
        ours, theirs = (lib.audio.decode_wav(data, channels, samples) for lib in (hr, tf))
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
        assert ours.sample_rate == 8000

    def test_laws(self):
        data = hr.audio.encode_wav(self.AUDIO, 8000).numpy()
        check_laws(Case("decode", hr.audio.decode_wav, (data,), notes={"dynamic_shape": True}))
        check_laws(
            Case("encode", lambda x: hr.audio.encode_wav(x, 8000), (self.AUDIO,), grad=False)
        )

    @pytest.mark.parametrize("data", [b"", b"RIFF", b"x" * 60])
    def test_bad_files(self, tf, data):
        with pytest.raises(errors.InvalidArgumentError, match=r"too short|mismatch"):
            hr.audio.decode_wav(data)
        with pytest.raises(tf.errors.InvalidArgumentError):
            tf.audio.decode_wav(data)

    def test_every_cut_is_found(self):
        data = hr.audio.encode_wav(self.AUDIO, 8000).numpy()
        for n in range(len(data)):
            with pytest.raises(errors.InvalidArgumentError):
                hr.audio.decode_wav(data[:n])


def test_raw_calls(tf):
    """With TensorFlow's attributes, which say what the inputs' dtypes say already."""
    x = rand(2, 6).astype(np.float32)
    for name in ("RFFT", "RFFT2D"):
        n = [6] if name == "RFFT" else [2, 6]
        same(
            *(
                getattr(lib.raw_ops, name)(input=x, fft_length=n, Tcomplex=lib.complex64)
                for lib in (hr, tf)
            )
        )
    z = x.astype(np.complex64)
    same(*(lib.raw_ops.Angle(input=z, Tout=lib.float32) for lib in (hr, tf)))
    same(hr.raw_ops.RFFTND(input=x, fft_length=[6], axes=[1]), hr.signal.rfft(x))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_empty(tf, shape):
    x = np.zeros(shape, np.float32)
    same(hr.signal.rfft(x), tf.signal.rfft(x))
    same(hr.signal.fft(x.astype(np.complex64)), tf.signal.fft(x.astype(np.complex64)))


def test_names(tf):
    for name in ("signal", "audio"):
        theirs = {n for n in dir(getattr(tf, name)) if not n.startswith("_")}
        assert theirs <= set(dir(getattr(hr, name)))
