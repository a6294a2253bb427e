// y = x · Wᵀ for many tokens, bf16 on tensor cores: prefill. Compute-bound: a block computes 128 outputs x 128 tokens (64
// with leaves to add; 64 x 64 where larger tiles were too few for the multiprocessors), its four warps a quarter each, two
// by two. Operands come through shared memory in a ring of stages of one chunk of K each, filled by asynchronous copies. A
// stage holds the chunk's 1 KiB of every panel as packed, then [tokens][64 bytes] of x: a warp reads fragments of either
// as 512 bytes on end, without bank conflicts.
//
// Registers of a warp: 64 outputs x 64 tokens are 128 sums a thread. Sums of leaves that wait for their right neighbours
// (rule 3) lie in shared memory, each thread's own at [slot][fragment][thread].
// The grid walks tokens first: blocks that run together share their weights, which so are read from memory once.

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/layouts.h"
#include "kernels/cuda/matmul_parts.h"

namespace herd::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kStages = 4;
constexpr int kChunkBytes = static_cast<int>(kChunkElements) * 2;
constexpr int kRowBytes = static_cast<int>(kChunkK) * 2;  // of x in a stage
constexpr int kPieceBytes = 16;

// What a block computes: of a warp, kWarpPanels panels of 16 outputs and kTiles tiles of 8 tokens.
template <int kPanelsOfWarp, int kTilesOfWarp>
struct Tile {
  static constexpr int kWarpPanels = kPanelsOfWarp;
  static constexpr int kTiles = kTilesOfWarp;
  static constexpr int kPanels = 2 * kWarpPanels;
  static constexpr int kWarpTokens = kTiles * kTokenTile;
  static constexpr int kTokens = 2 * kWarpTokens;
  static constexpr int kWeightBytes = kPanels * kChunkBytes;  // of a stage
  static constexpr int kStageBytes = kWeightBytes + kTokens * kRowBytes;
  static constexpr int kSlotBytes = kWarpPanels * kTiles * kThreads * 16;  // sums of the block
  using Sums = float[kWarpPanels][kTiles][4];                              // of a thread
};
using LargeTile = Tile<4, 8>;
using TreeTile = Tile<4, 4>;
using SmallTile = Tile<2, 4>;

// The part of a stage that one thread copies: it takes pieces thread, thread + 128, … of the weights and of x.
template <class T>
struct Copier {
  const unsigned char* weights = nullptr;  // its first piece in chunk 0; its others lie two panels apart
  const unsigned char* rows = nullptr;     // likewise, 32 tokens apart
  std::int64_t panel_bytes = 0;
  std::int64_t rows_bytes = 0;  // of 32 tokens
  int panels = 0;               // those of its panels, tokens that exist
  int tokens = 0;
  std::int64_t k = 0;           // of its pieces of x, in chunk 0, the elements from the first to the end of the row

  __device__ __forceinline__ Copier(const TensorView& x, const PackedMatrix& w, std::int64_t panel,
                                    std::int64_t token) {
    const int thread = static_cast<int>(threadIdx.x);
    constexpr int kPanelPieces = kChunkBytes / kPieceBytes;
    constexpr int kRowPieces = kRowBytes / kPieceBytes;
    const std::int64_t my_panel = panel + thread / kPanelPieces;
    const std::int64_t my_token = token + thread / kRowPieces;
    const int part = thread % kRowPieces;
    panel_bytes = w.k_padded() / kChunkK * kChunkBytes;
    weights = static_cast<const unsigned char*>(w.data) + my_panel * panel_bytes + thread % kPanelPieces * kPieceBytes;
    rows = static_cast<const unsigned char*>(x.data) + my_token * x.row_stride * 2 + part * kPieceBytes;
    rows_bytes = kThreads / kRowPieces * x.row_stride * 2;
    panels = count(w.outputs_padded() / kPanelOutputs - my_panel, kThreads / kPanelPieces);
    tokens = count(x.rows - my_token, kThreads / kRowPieces);
    k = w.k - part * (kPieceBytes / 2);
  }

  // How many of begin, begin + step, … come before begin + left; at most the pieces of a thread.
  __device__ __forceinline__ static int count(std::int64_t left, int step) {
    constexpr int kMost = T::kStageBytes / kPieceBytes / kThreads;
    if (left <= 0) return 0;
    const std::int64_t pieces = (left + step - 1) / step;
    return pieces < kMost ? static_cast<int>(pieces) : kMost;
  }

  // What does not exist becomes zeros; the address is then some other one that does.
  __device__ __forceinline__ void copy(unsigned char* stage, int chunk, const TensorView& x,
                                       const PackedMatrix& w) const {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < T::kWeightBytes / kPieceBytes / kThreads; i++) {
      const bool valid = i < panels;
      const void* from = valid ? weights + i * (kThreads * kPieceBytes / kChunkBytes) * panel_bytes +
                                     static_cast<std::int64_t>(chunk) * kChunkBytes
                               : w.data;
      copy16_async(stage + (i * kThreads + thread) * kPieceBytes, from, valid);
    }
    const bool in_row = chunk * kChunkK < k;
#pragma unroll
    for (int i = 0; i < T::kTokens * kRowBytes / kPieceBytes / kThreads; i++) {
      const bool valid = in_row && i < tokens;
      const void* from = valid ? rows + i * rows_bytes + static_cast<std::int64_t>(chunk) * kRowBytes : x.data;
      copy16_async(stage + T::kWeightBytes + (i * kThreads + thread) * kPieceBytes, from, valid);
    }
  }
};

// sum += one chunk, from shared memory: first the product over the first four k of every lane's eight, then the other.
// weights: of the warp's first panel; rows: of its first token.
template <class T>
__device__ __forceinline__ void add_chunk(typename T::Sums& sum, const unsigned char* weights,
                                          const unsigned char* rows) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  uint4 piece[T::kTiles];
#pragma unroll
  for (int tile = 0; tile < T::kTiles; tile++) {
    piece[tile] = *reinterpret_cast<const uint4*>(rows + tile * kTokenTile * kRowBytes + lane * kPieceBytes);
  }
#pragma unroll
  for (int product = 0; product < 2; product++) {
#pragma unroll
    for (int panel = 0; panel < T::kWarpPanels; panel++) {
      const uint4 fragment = *reinterpret_cast<const uint4*>(weights + panel * kChunkBytes +
                                                             product * (kChunkBytes / 2) + lane * kPieceBytes);
      const std::uint32_t a[4] = {fragment.x, fragment.y, fragment.z, fragment.w};
#pragma unroll
      for (int tile = 0; tile < T::kTiles; tile++) {
        const std::uint32_t b[2] = {product == 0 ? piece[tile].x : piece[tile].z,
                                    product == 0 ? piece[tile].y : piece[tile].w};
        mma_bf16(sum[panel][tile], a, b);
      }
    }
  }
}

// Calls use(sums of a fragment, its number) for all fragments.
template <class T, class Use>
__device__ __forceinline__ void for_each_fragment(typename T::Sums& sum, const Use& use) {
#pragma unroll
  for (int panel = 0; panel < T::kWarpPanels; panel++) {
#pragma unroll
    for (int tile = 0; tile < T::kTiles; tile++) use(sum[panel][tile], panel * T::kTiles + tile);
  }
}

// Where a thread's sums are and which leaves are done (matmul_parts.h, close_leaf).
template <class T>
struct Leaves {
  float4* slots = nullptr;  // [slot][fragment][thread], from this thread's first
  int leaf = 0;
  unsigned waiting = 0;

  [[nodiscard]] __device__ __forceinline__ float4& at(int slot, int fragment) const {
    return slots[(slot * T::kWarpPanels * T::kTiles + fragment) * kThreads];
  }

  // Closes all leaves that end at or before `chunk`.
  __device__ __forceinline__ void close(const PackedMatrix& w, int chunk, typename T::Sums& sum) {
    for (; leaf < w.leaf_count && leaf_border(w, leaf + 1) <= chunk; leaf++) {
      close_leaf(
          leaf, w.leaf_count, leaf_border(w, leaf) < leaf_border(w, leaf + 1), waiting,
          [&](auto level) {
            for_each_fragment<T>(sum, [&](const float(&part)[4], int fragment) {
              at(level, fragment) = make_float4(part[0], part[1], part[2], part[3]);
            });
          },
          [&](auto level) {
            for_each_fragment<T>(sum, [&](float(&part)[4], int fragment) {
              const float4 left = at(level, fragment);
              part[0] = left.x + part[0];
              part[1] = left.y + part[1];
              part[2] = left.z + part[2];
              part[3] = left.w + part[3];
            });
          },
          [&](auto level) {
            for_each_fragment<T>(sum, [&](float(&part)[4], int fragment) {
              const float4 left = at(level, fragment);
              part[0] = left.x;
              part[1] = left.y;
              part[2] = left.z;
              part[3] = left.w;
            });
          });
      if (leaf + 1 == w.leaf_count) continue;
      for_each_fragment<T>(sum, [](float(&part)[4], int) { part[0] = part[1] = part[2] = part[3] = 0.0F; });
    }
  }
};

template <class T>
__device__ __forceinline__ void store_tile(const TensorView& out, const float* bias, std::int64_t panels,
                                           std::int64_t panel, std::int64_t token, typename T::Sums& sum) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for_each_fragment<T>(sum, [&](const float(&part)[4], int fragment) {
    const std::int64_t to = panel + fragment / T::kTiles;
    if (to >= panels) return;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const std::int64_t t = token + fragment % T::kTiles * kTokenTile + lane % 4 * 2 + i % 2;
      if (t < out.rows) store_result(out, bias, t, to * kPanelOutputs + lane / 4 + i / 2 * 8, part[i]);
    }
  });
}

// Grid: (tokens, outputs). Dynamic shared memory: kStages stages, then slots for the levels of the tree.
template <class T, bool kTree>
__global__ void __launch_bounds__(kThreads, 2)
    tiled_kernel(TensorView x, PackedMatrix w, const float* bias, TensorView out) {
  unsigned char* shared = dynamic_shared();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_panel = warp / 2 * T::kWarpPanels;
  const int warp_token = warp % 2 * T::kWarpTokens;
  const std::int64_t panel = static_cast<std::int64_t>(blockIdx.y) * T::kPanels;
  const std::int64_t token = static_cast<std::int64_t>(blockIdx.x) * T::kTokens;
  const auto chunks = static_cast<int>(w.k_padded() / kChunkK);
  const Copier<T> copier(x, w, panel, token);
  Leaves<T> leaves;
  leaves.slots = reinterpret_cast<float4*>(shared + kStages * T::kStageBytes) + threadIdx.x;
  typename T::Sums sum = {};
  if constexpr (kTree) leaves.close(w, 0, sum);  // empty ones at the front

  for (int chunk = 0; chunk < kStages - 1; chunk++) {
    if (chunk < chunks) copier.copy(shared + chunk * T::kStageBytes, chunk, x, w);
    copy_commit();  // one group a chunk, empty ones too, so that the count below holds
  }
  int stage = 0;
  for (int chunk = 0; chunk < chunks; chunk++) {
    copy_wait<kStages - 2>();
    block_barrier();  // this chunk is there for all, and all are done with the one before it
    const int next = chunk + kStages - 1;
    const int next_stage = stage == 0 ? kStages - 1 : stage - 1;  // the one before
    if (next < chunks) copier.copy(shared + next_stage * T::kStageBytes, next, x, w);
    copy_commit();
    const unsigned char* weights = shared + stage * T::kStageBytes;
    add_chunk<T>(sum, weights + warp_panel * kChunkBytes, weights + T::kWeightBytes + warp_token * kRowBytes);
    if constexpr (kTree) leaves.close(w, chunk + 1, sum);
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  store_tile<T>(out, bias, w.outputs_padded() / kPanelOutputs, panel + warp_panel, token + warp_token, sum);
}

template <class T>
dim3 grid_of(const TensorView& x, const PackedMatrix& w) {
  const std::int64_t panels = w.outputs_padded() / kPanelOutputs;
  return dim3(static_cast<unsigned>((x.rows + T::kTokens - 1) / T::kTokens),
              static_cast<unsigned>((panels + T::kPanels - 1) / T::kPanels));
}

template <class T>
std::size_t shared_bytes(const PackedMatrix& w) {
  std::size_t bytes = kStages * T::kStageBytes;
  for (int leaves = w.leaf_count; leaves > 1; leaves /= 2) bytes += T::kSlotBytes;  // one slot a level
  return bytes;
}

// Whether tiles T are enough for all multiprocessors and fit their shared memory.
template <class T>
bool pays(const Stream& stream, const TensorView& x, const PackedMatrix& w) {
  const dim3 grid = grid_of<T>(x, w);
  return std::uint64_t{grid.x} * grid.y >= static_cast<std::uint64_t>(stream.multiprocessors()) &&
         shared_bytes<T>(w) <= stream.shared_bytes_max();
}

template <class T, bool kTree>
bool launch_tiled(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                  const TensorView& out) {
  constexpr unsigned kGridRowsMax = 65535;
  const dim3 grid = grid_of<T>(x, w);
  const std::size_t shared = shared_bytes<T>(w);
  if (shared > stream.shared_bytes_max() || grid.y > kGridRowsMax) return false;
  launch(stream, "matmul_tiled", tiled_kernel<T, kTree>, grid, kThreads, shared, x, w, bias, out);
  return true;
}

}  // namespace

bool matmul_tiled(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                  const TensorView& out) {
  if (!rows_of_16_bytes(x)) return false;
  if (w.leaf_count == 1) {
    return pays<LargeTile>(stream, x, w) ? launch_tiled<LargeTile, false>(stream, x, w, bias, out)
                                         : launch_tiled<SmallTile, false>(stream, x, w, bias, out);
  }
  return pays<TreeTile>(stream, x, w) ? launch_tiled<TreeTile, true>(stream, x, w, bias, out)
                                      : launch_tiled<SmallTile, true>(stream, x, w, bias, out);
}

}  // namespace herd::cuda
