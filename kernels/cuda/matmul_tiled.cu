// y = x · Wᵀ for many tokens, bf16 on tensor cores: prefill. Compute-bound: a block computes 128 outputs x 128 tokens (64
// with leaves to add), its four warps a quarter each, two by two; operands come through shared memory in a ring of
// stages of one chunk of K each, filled by asynchronous copies. A stage holds the chunk's 1 KiB of every panel as packed,
// then [tokens][64 bytes] of x: a warp reads fragments of either as 512 bytes on end, without bank conflicts.
//
// Registers of a warp: 64 outputs x 64 tokens are 128 sums a thread (64 with leaves). Sums of leaves that wait for their
// right neighbours (rule 3) lie in shared memory, each thread's own at [slot][fragment][thread].
// The grid walks tokens first: blocks that run together share their weights, which so are read from memory once.

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/layouts.h"
#include "kernels/cuda/matmul_parts.h"

namespace herd::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kPanels = 8;      // of a block
constexpr int kWarpPanels = 4;  // of a warp
constexpr int kStages = 4;
constexpr int kChunkBytes = static_cast<int>(kChunkElements) * 2;
constexpr int kRowBytes = static_cast<int>(kChunkK) * 2;  // of x in a stage
constexpr int kPieceBytes = 16;

// Sizes that follow from the token tiles of a warp.
template <int kTiles>
struct Tile {
  static constexpr int kWarpTokens = kTiles * kTokenTile;
  static constexpr int kTokens = 2 * kWarpTokens;
  static constexpr int kStageBytes = kPanels * kChunkBytes + kTokens * kRowBytes;
  static constexpr int kSlotBytes = kWarpPanels * kTiles * kThreads * 16;  // sums of a block
};

// The part of a stage that one thread copies: it takes pieces thread, thread + 128, … of the weights and of x.
template <int kTiles>
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
    constexpr int kMost = kPanels * kChunkBytes / kPieceBytes / kThreads;
    if (left <= 0) return 0;
    const std::int64_t pieces = (left + step - 1) / step;
    return pieces < kMost ? static_cast<int>(pieces) : kMost;
  }

  // What does not exist becomes zeros; the address is then some other one that does.
  __device__ __forceinline__ void copy(unsigned char* stage, int chunk, const TensorView& x,
                                       const PackedMatrix& w) const {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kPanels * kChunkBytes / kPieceBytes / kThreads; i++) {
      const bool valid = i < panels;
      const void* from = valid ? weights + i * (kThreads * kPieceBytes / kChunkBytes) * panel_bytes +
                                     static_cast<std::int64_t>(chunk) * kChunkBytes
                               : w.data;
      copy16_async(stage + (i * kThreads + thread) * kPieceBytes, from, valid);
    }
    const bool in_row = chunk * kChunkK < k;
#pragma unroll
    for (int i = 0; i < Tile<kTiles>::kTokens * kRowBytes / kPieceBytes / kThreads; i++) {
      const bool valid = in_row && i < tokens;
      const void* from = valid ? rows + i * rows_bytes + static_cast<std::int64_t>(chunk) * kRowBytes : x.data;
      copy16_async(stage + kPanels * kChunkBytes + (i * kThreads + thread) * kPieceBytes, from, valid);
    }
  }
};

// sum += one chunk, from shared memory: first the product over the first four k of every lane's eight, then the other.
// weights: of the warp's first panel; rows: of its first token.
template <int kTiles>
__device__ __forceinline__ void add_chunk(float (&sum)[kWarpPanels][kTiles][4], const unsigned char* weights,
                                          const unsigned char* rows) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  uint4 piece[kTiles];
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
    piece[tile] = *reinterpret_cast<const uint4*>(rows + tile * kTokenTile * kRowBytes + lane * kPieceBytes);
  }
#pragma unroll
  for (int product = 0; product < 2; product++) {
#pragma unroll
    for (int panel = 0; panel < kWarpPanels; panel++) {
      const uint4 fragment = *reinterpret_cast<const uint4*>(weights + panel * kChunkBytes +
                                                             product * (kChunkBytes / 2) + lane * kPieceBytes);
      const std::uint32_t a[4] = {fragment.x, fragment.y, fragment.z, fragment.w};
#pragma unroll
      for (int tile = 0; tile < kTiles; tile++) {
        const std::uint32_t b[2] = {product == 0 ? piece[tile].x : piece[tile].z,
                                    product == 0 ? piece[tile].y : piece[tile].w};
        mma_bf16(sum[panel][tile], a, b);
      }
    }
  }
}

// Calls use(sums of a fragment, its number) for all fragments.
template <int kTiles, class Use>
__device__ __forceinline__ void for_each_fragment(float (&sum)[kWarpPanels][kTiles][4], const Use& use) {
#pragma unroll
  for (int panel = 0; panel < kWarpPanels; panel++) {
#pragma unroll
    for (int tile = 0; tile < kTiles; tile++) use(sum[panel][tile], panel * kTiles + tile);
  }
}

// Where a thread's sums are and which leaves are done (matmul_parts.h, close_leaf).
template <int kTiles>
struct Leaves {
  float4* slots = nullptr;  // [slot][fragment][thread], from this thread's first
  int leaf = 0;
  unsigned waiting = 0;

  [[nodiscard]] __device__ __forceinline__ float4& at(int slot, int fragment) const {
    return slots[(slot * kWarpPanels * kTiles + fragment) * kThreads];
  }

  // Closes all leaves that end at or before `chunk`.
  __device__ __forceinline__ void close(const PackedMatrix& w, int chunk, float (&sum)[kWarpPanels][kTiles][4]) {
    for (; leaf < w.leaf_count && leaf_border(w, leaf + 1) <= chunk; leaf++) {
      close_leaf(
          leaf, w.leaf_count, leaf_border(w, leaf) < leaf_border(w, leaf + 1), waiting,
          [&](auto level) {
            for_each_fragment(sum, [&](const float(&part)[4], int fragment) {
              at(level, fragment) = make_float4(part[0], part[1], part[2], part[3]);
            });
          },
          [&](auto level) {
            for_each_fragment(sum, [&](float(&part)[4], int fragment) {
              const float4 left = at(level, fragment);
              part[0] = left.x + part[0];
              part[1] = left.y + part[1];
              part[2] = left.z + part[2];
              part[3] = left.w + part[3];
            });
          },
          [&](auto level) {
            for_each_fragment(sum, [&](float(&part)[4], int fragment) {
              const float4 left = at(level, fragment);
              part[0] = left.x;
              part[1] = left.y;
              part[2] = left.z;
              part[3] = left.w;
            });
          });
      if (leaf + 1 == w.leaf_count) continue;
      for_each_fragment(sum, [](float(&part)[4], int) { part[0] = part[1] = part[2] = part[3] = 0.0F; });
    }
  }
};

template <int kTiles>
__device__ __forceinline__ void store_tile(const TensorView& out, const float* bias, std::int64_t panels,
                                           std::int64_t panel, std::int64_t token,
                                           float (&sum)[kWarpPanels][kTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for_each_fragment(sum, [&](const float(&part)[4], int fragment) {
    const std::int64_t to = panel + fragment / kTiles;
    if (to >= panels) return;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const std::int64_t t = token + fragment % kTiles * kTokenTile + lane % 4 * 2 + i % 2;
      if (t < out.rows) store_result(out, bias, t, to * kPanelOutputs + lane / 4 + i / 2 * 8, part[i]);
    }
  });
}

// Grid: (tokens, outputs). Dynamic shared memory: kStages stages, then slots for the levels of the tree.
template <int kTiles, bool kTree>
__global__ void __launch_bounds__(kThreads, 2)
    tiled_kernel(TensorView x, PackedMatrix w, const float* bias, TensorView out) {
  using Sizes = Tile<kTiles>;
  unsigned char* shared = dynamic_shared();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_panel = warp / 2 * kWarpPanels;
  const int warp_token = warp % 2 * Sizes::kWarpTokens;
  const std::int64_t panel = static_cast<std::int64_t>(blockIdx.y) * kPanels;
  const std::int64_t token = static_cast<std::int64_t>(blockIdx.x) * Sizes::kTokens;
  const auto chunks = static_cast<int>(w.k_padded() / kChunkK);
  const Copier<kTiles> copier(x, w, panel, token);
  Leaves<kTiles> leaves;
  leaves.slots = reinterpret_cast<float4*>(shared + kStages * Sizes::kStageBytes) + threadIdx.x;
  float sum[kWarpPanels][kTiles][4] = {};
  if constexpr (kTree) leaves.close(w, 0, sum);  // empty ones at the front

  for (int chunk = 0; chunk < kStages - 1; chunk++) {
    if (chunk < chunks) copier.copy(shared + chunk * Sizes::kStageBytes, chunk, x, w);
    copy_commit();  // one group a chunk, empty ones too, so that the count below holds
  }
  int stage = 0;
  for (int chunk = 0; chunk < chunks; chunk++) {
    copy_wait<kStages - 2>();
    block_barrier();  // this chunk is there for all, and all are done with the one before it
    const int next = chunk + kStages - 1;
    const int next_stage = stage == 0 ? kStages - 1 : stage - 1;  // the one before
    if (next < chunks) copier.copy(shared + next_stage * Sizes::kStageBytes, next, x, w);
    copy_commit();
    const unsigned char* weights = shared + stage * Sizes::kStageBytes;
    add_chunk(sum, weights + warp_panel * kChunkBytes,
              weights + kPanels * kChunkBytes + warp_token * kRowBytes);
    if constexpr (kTree) leaves.close(w, chunk + 1, sum);
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  store_tile(out, bias, w.outputs_padded() / kPanelOutputs, panel + warp_panel, token + warp_token, sum);
}

template <int kTiles, bool kTree>
bool launch_tiled(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                  const TensorView& out) {
  using Sizes = Tile<kTiles>;
  std::size_t shared = kStages * Sizes::kStageBytes;
  for (int leaves = w.leaf_count; leaves > 1; leaves /= 2) shared += Sizes::kSlotBytes;  // one slot a level
  const std::int64_t columns = (x.rows + Sizes::kTokens - 1) / Sizes::kTokens;
  const std::int64_t rows = (w.outputs_padded() / kPanelOutputs + kPanels - 1) / kPanels;
  constexpr std::int64_t kGridRowsMax = 65535;
  if (shared > stream.shared_bytes_max() || rows > kGridRowsMax) return false;
  launch(stream, "matmul_tiled", tiled_kernel<kTiles, kTree>,
         dim3(static_cast<unsigned>(columns), static_cast<unsigned>(rows)), kThreads, shared, x, w, bias, out);
  return true;
}

}  // namespace

bool matmul_tiled(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                  const TensorView& out) {
  if (!rows_of_16_bytes(x)) return false;
  return w.leaf_count == 1 ? launch_tiled<8, false>(stream, x, w, bias, out)
                           : launch_tiled<4, true>(stream, x, w, bias, out);
}

}  // namespace herd::cuda
