"""What every CUDA source begins with: names of types, 16-bit floats, packs, reductions.

16-bit floats are bits in memory and float32 in registers; no header of NVIDIA's is needed.  A
pack is as many elements as one instruction loads.  Blocks have a multiple of 32 threads.
"""

from __future__ import annotations

from ..dtypes import DType

__all__ = ["PRELUDE", "can_hold", "register_type", "storage_type"]

_STORAGE = {
    "float32": "float",
    "float64": "double",
    "float16": "Half",
    "bfloat16": "BFloat",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "i64",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "u64",
    "bool": "bool",
}


def can_hold(dtype: DType) -> bool:
    """Whether kernels know the dtype."""
    return dtype.name in _STORAGE


def storage_type(dtype: DType) -> str:
    """The C++ type of an element in memory."""
    return _STORAGE[dtype.name]


def register_type(dtype: DType) -> str:
    """The C++ type in which it is computed with."""
    return "float" if dtype.name in ("float16", "bfloat16") else _STORAGE[dtype.name]


PRELUDE = r"""
typedef long long i64;
typedef unsigned long long u64;
typedef unsigned int u32;

struct Half { unsigned short bits; };
struct BFloat { unsigned short bits; };

template <class T> struct Wide { typedef T type; };
template <> struct Wide<Half> { typedef float type; };
template <> struct Wide<BFloat> { typedef float type; };

template <class T> __device__ __forceinline__ T widen(T v) { return v; }
__device__ __forceinline__ float widen(Half v) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
    return f;
}
__device__ __forceinline__ float widen(BFloat v) {
    return __uint_as_float((u32)v.bits << 16);
}

template <class T, class W> struct Narrow {
    static __device__ __forceinline__ T of(W v) { return (T)v; }
};
template <class W> struct Narrow<Half, W> {
    static __device__ __forceinline__ Half of(W v) {
        Half h;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"((float)v));
        return h;
    }
};
template <class W> struct Narrow<BFloat, W> {
    static __device__ __forceinline__ BFloat of(W v) {
        // To the nearest, ties to even; a NaN stays one.
        u32 bits = __float_as_uint((float)v);
        BFloat b;
        b.bits = (bits & 0x7fffffffu) > 0x7f800000u
            ? (unsigned short)((bits >> 16) | 0x40u)
            : (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
        return b;
    }
};
template <class T, class W> __device__ __forceinline__ T narrow(W v) {
    return Narrow<T, W>::of(v);
}

template <class T, int N> struct __align__(sizeof(T) * N) Pack { T at[N]; };
template <int N, class T> __device__ __forceinline__ Pack<T, N> load_pack(const T* p) {
    return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <int N, class T> __device__ __forceinline__ void store_pack(T* p, Pack<T, N> v) {
    *reinterpret_cast<Pack<T, N>*>(p) = v;
}

// NumPy's maximum and minimum: NaN goes on, of equal zeros the first.
template <class T> __device__ __forceinline__ T max_of(T a, T b) {
    return (a >= b || a != a) ? a : b;
}
template <class T> __device__ __forceinline__ T min_of(T a, T b) {
    return (a <= b || a != a) ? a : b;
}

struct Sum {
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return a + b; }
};
struct Max {
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return max_of(a, b); }
};
struct Min {
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return min_of(a, b); }
};

// The value of the lane whose number differs by the bits of `o`; small types go as int.
template <class T> __device__ __forceinline__ T from_lane(T v, int o) {
    if constexpr (sizeof(T) < 4) return (T)__shfl_xor_sync(0xffffffffu, (int)v, o);
    else return __shfl_xor_sync(0xffffffffu, v, o);
}
template <class T> __device__ __forceinline__ T first_lane(T v) {
    if constexpr (sizeof(T) < 4) return (T)__shfl_sync(0xffffffffu, (int)v, 0);
    else return __shfl_sync(0xffffffffu, v, 0);
}
template <class Op, class T> __device__ __forceinline__ T warp_all(T v) {
    #pragma unroll
    for (int o = 16; o; o >>= 1) v = Op::of(v, from_lane(v, o));
    return v;
}
// The reduction over a block, in all its threads; `room` has 32 places.  Safe to call again at
// once with the same room.
template <class Op, class T> __device__ __forceinline__ T block_all(T v, T* room) {
    int warps = blockDim.x >> 5, lane = threadIdx.x & 31;
    v = warp_all<Op>(v);
    if (warps == 1) return v;
    __syncthreads();
    if (lane == 0) room[threadIdx.x >> 5] = v;
    __syncthreads();
    v = room[lane < warps ? lane : 0];
    for (int o = 16; o; o >>= 1) {
        // Places beyond the last warp repeat the first; they are left out of sums.
        T other = from_lane(v, o);
        if (lane < o && lane + o < warps) v = Op::of(v, other);
    }
    return first_lane(v);
}
"""
