#pragma once
// HERD_INLINE: for every function with a body in a header that a per-ISA file (*_avx2.cc, *_avx512.cc) includes.
//
// Such a file is poisoned ground: if it emits an ordinary inline function, the linker may keep that copy, compiled
// with AVX-512 instructions, for the whole program. A function that is always inlined is never emitted, at -O0
// neither. For the same reason these headers call compiler builtins (fmaf, bit_cast), not the inline functions of
// the standard library. Their address is never taken.

// CUDA kernels use the same functions: nvcc compiles them for both sides.

#ifdef __CUDACC__
#define HERD_INLINE __host__ __device__ __forceinline__
#else
#define HERD_INLINE [[gnu::always_inline]] inline
#endif
