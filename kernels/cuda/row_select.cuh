#pragma once
// One block over one row of logits: reductions, and the row's best columns in sorted runs, as many runs as are wanted,
// in shared memory alone. Every function here is called by all kRowThreads threads of a block together, with the same
// arguments, and begins with a barrier, so that it sees what the threads wrote before.
//
// Order of columns: key = the logit's bits made unsigned and ascending (-0 and what counts as zero as +0), then
// ~column, so that descending keys are (logit descending, column ascending). 0 is nobody's key.

#include <cstdint>

#include "kernels/cuda/instructions.h"
#include "kernels/math.h"

namespace herd::cuda {

inline constexpr int kRowThreads = 1024;
inline constexpr int kRowWarps = kRowThreads / kWarp;
inline constexpr int kDigitBits = 10;           // one bin a thread
inline constexpr std::uint32_t kRunMax = 4096;  // keys of a run
static_assert(1 << kDigitBits == kRowThreads && kRunMax % kRowThreads == 0);

__device__ __forceinline__ std::uint64_t key_of(float value, std::uint32_t column) {
  const std::uint32_t bits = bits_of(value + 0.0F);
  const std::uint32_t ascending = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return std::uint64_t{ascending} << 32 | (0xffffffffU - column);
}
__device__ __forceinline__ float value_of_key(std::uint64_t key) {
  const auto ascending = static_cast<std::uint32_t>(key >> 32);
  return float_of((ascending & 0x80000000U) != 0 ? ascending & 0x7fffffffU : ~ascending);
}
__device__ __forceinline__ std::uint32_t column_of_key(std::uint64_t key) {
  return 0xffffffffU - static_cast<std::uint32_t>(key);
}
// A column at -inf takes no part. (Nor does a negative NaN; callers have made sure that there is none.)
inline constexpr std::uint64_t kLowestKey = std::uint64_t{0x00800000U} << 32;

// ---- reductions; the answer reaches every thread ----

struct ReduceShared {
  std::uint64_t warp[kRowWarps];
};

template <class Combine>
__device__ __forceinline__ std::uint64_t row_reduce(std::uint64_t value, ReduceShared& shared, const Combine& combine) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value = combine(value, shuffle_xor(value, lanes));
  block_barrier();
  if (threadIdx.x % kWarp == 0) shared.warp[threadIdx.x / kWarp] = value;
  block_barrier();
  value = shared.warp[0];
  for (int warp = 1; warp < kRowWarps; warp++) value = combine(value, shared.warp[warp]);
  return value;
}
__device__ __forceinline__ std::uint64_t row_max(std::uint64_t value, ReduceShared& shared) {
  return row_reduce(value, shared, [](std::uint64_t a, std::uint64_t b) { return a > b ? a : b; });
}
__device__ __forceinline__ std::uint64_t row_sum(std::uint64_t value, ReduceShared& shared) {
  return row_reduce(value, shared, [](std::uint64_t a, std::uint64_t b) { return a + b; });
}
__device__ __forceinline__ bool row_any(bool value, ReduceShared& shared) {
  return row_max(value ? 1 : 0, shared) != 0;
}

// ---- runs of the best columns ----

struct RunShared {  // dynamic shared memory: more than a kernel has without asking
  std::uint64_t keys[kRunMax];
  float weights[kRunMax];  // the caller's
  std::uint32_t bins[kRowThreads];
  std::uint32_t warp_sum[kRowWarps];
  std::uint32_t crossed, bin, before, after, count;
};

// Sum over threads 0 … this one.
__device__ __forceinline__ std::uint32_t inclusive_sum(std::uint32_t value, RunShared& shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int step = 1; step < kWarp; step *= 2) {
    const std::uint32_t lower = shuffle(value, lane >= step ? lane - step : lane);
    if (lane >= step) value += lower;
  }
  if (lane == kWarp - 1) shared.warp_sum[warp] = value;
  block_barrier();
  for (int other = 0; other < kRowWarps; other++) value += other < warp ? shared.warp_sum[other] : 0;
  return value;
}

// The lowest key of the run that next_run is to return: at least min(want, there are) keys lie in [it, below), at most
// kRunMax. A radix descent: counts the keys by their first digit, takes bins from the top while `want` is not reached,
// and if the bin that reaches it is too full, goes on with that bin's keys and their next digit. Keys differ, so the
// last digit's bins hold one key each.
__device__ __forceinline__ std::uint64_t run_border(const float* row, std::int64_t columns, std::uint64_t below,
                                                    std::uint32_t want, RunShared& shared) {
  const auto thread = static_cast<std::uint32_t>(threadIdx.x);
  std::uint64_t prefix = 0;  // of the keys counted: their bits from `shift` up
  int shift = 64;
  std::uint32_t above = 0;  // keys in [the highest with this prefix, below)
  for (;;) {
    const int digit_bits = shift < kDigitBits ? shift : kDigitBits;
    const int next = shift - digit_bits;
    block_barrier();
    shared.bins[thread] = 0;
    if (thread == 0) shared.crossed = 0;
    block_barrier();
#pragma unroll 4
    for (std::int64_t c = thread; c < columns; c += kRowThreads) {
      const std::uint64_t key = key_of(row[c], static_cast<std::uint32_t>(c));
      if (key < kLowestKey || key >= below || (shift < 64 && key >> shift != prefix)) continue;
      fetch_add(&shared.bins[(key >> next) & ((1U << digit_bits) - 1)], 1U);
    }
    block_barrier();
    const std::uint32_t bin = kRowThreads - 1 - thread;
    const std::uint32_t mine = shared.bins[bin];
    const std::uint32_t after = above + inclusive_sum(mine, shared);
    if (after - mine < want && want <= after) {  // one thread at most
      shared.crossed = 1;
      shared.bin = bin;
      shared.before = after - mine;
      shared.after = after;
    }
    block_barrier();
    if (shared.crossed == 0) return kLowestKey;  // there are fewer than `want`: all of them
    prefix = prefix << digit_bits | shared.bin;
    shift = next;
    if (shared.after <= kRunMax) return prefix << shift > kLowestKey ? prefix << shift : kLowestKey;
    above = shared.before;
  }
}

// Descending, in place; `count` <= kRunMax keys. Bitonic (Batcher 1968), filled up with nobody's keys to a power of two.
__device__ __forceinline__ void sort_keys(std::uint64_t* keys, std::uint32_t count) {
  std::uint32_t size = 2;
  while (size < count) size *= 2;
  for (std::uint32_t i = count + threadIdx.x; i < size; i += kRowThreads) keys[i] = 0;
  block_barrier();
  for (std::uint32_t run = 2; run <= size; run *= 2) {
    for (std::uint32_t stride = run / 2; stride > 0; stride /= 2) {
      for (std::uint32_t i = threadIdx.x; i < size / 2; i += kRowThreads) {
        const std::uint32_t a = 2 * i - (i & (stride - 1));
        const std::uint32_t b = a + stride;
        const std::uint64_t low = keys[a];
        const std::uint64_t high = keys[b];
        if ((low < high) == ((a & run) == 0)) {
          keys[a] = high;
          keys[b] = low;
        }
      }
      block_barrier();
    }
  }
}

// The best columns with keys below `below` (~0: from the top), sorted, in shared.keys: at least min(want, there are),
// at most kRunMax. want in [1, kRunMax]. Returns how many.
__device__ __forceinline__ std::uint32_t next_run(const float* row, std::int64_t columns, std::uint64_t below,
                                                  std::uint32_t want, RunShared& shared) {
  const std::uint64_t border = run_border(row, columns, below, want, shared);
  if (threadIdx.x == 0) shared.count = 0;
  block_barrier();
#pragma unroll 4
  for (std::int64_t c = threadIdx.x; c < columns; c += kRowThreads) {
    const std::uint64_t key = key_of(row[c], static_cast<std::uint32_t>(c));
    if (key >= border && key < below) shared.keys[fetch_add(&shared.count, 1U)] = key;
  }
  block_barrier();
  const std::uint32_t count = shared.count;
  sort_keys(shared.keys, count);
  return count;
}

}  // namespace herd::cuda
