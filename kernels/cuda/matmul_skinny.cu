// y = x · Wᵀ for few tokens, bf16 on tensor cores: decode. Memory-bound: every weight is read once for up to 64 tokens, so
// what counts is bytes under way. A warp takes one chain, (panel of 16 outputs, leaf), and streams its weights, 1 KiB a
// chunk, through a ring in shared memory: asynchronous copies keep 8 or 16 KiB a warp under way without registers. A lane
// copies the very bytes that it will read as fragments, so no other lane is waited for. x is small and comes out of the
// L1 or L2, two chunks ahead. (A ring in registers held half as much and spilled.)
//
// Panels: block b of g takes panels b, b + g, b + 2g, …, one a warp, or with leaves one for each leaf_count warps, whose
// sums meet in shared memory: every multiprocessor has the same share, give or take one panel.
// Tokens beyond the last read the last row: a column of a product depends on its own token alone, and is not stored.

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/layouts.h"
#include "kernels/cuda/matmul_parts.h"

namespace herd::cuda {
namespace {

constexpr int kTreeWarps = 8;  // of a block when there are leaves to add
// Warps of a block at most: of eight token tiles, a thread wants more than its 128 registers of sixteen.
template <int kTiles>
inline constexpr int kWarpsMax = kTiles == 8 ? 8 : 16;
constexpr int kGroups = 4;     // of chunks in a warp's ring
constexpr int kPieceBytes = 16;
constexpr int kChunkBytes = static_cast<int>(kChunkElements) * 2;
constexpr int kTileElements = static_cast<int>(kPanelOutputs) * kTokenTile;

// 8 elements from `from` on, of which `left` are in the row: +0 beyond. kPieces: all are, or none, and they are aligned.
template <bool kPieces>
__device__ __forceinline__ uint4 load_piece(const std::uint16_t* from, int left) {
  if constexpr (kPieces) {
    return left > 0 ? load16(from) : make_uint4(0, 0, 0, 0);
  } else {
    std::uint32_t word[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const std::uint32_t low = 2 * i < left ? from[2 * i] : 0U;
      const std::uint32_t high = 2 * i + 1 < left ? from[2 * i + 1] : 0U;
      word[i] = low | high << 16;
    }
    return make_uint4(word[0], word[1], word[2], word[3]);
  }
}

// sum[tile] += the products of one chunk: first the one over the first four k of every lane's eight, then the other.
template <int kTiles>
__device__ __forceinline__ void add_chunk(float (&sum)[kTiles][4], const uint4& first, const uint4& second,
                                          const uint4 (&pieces)[kTiles]) {
  const std::uint32_t a_first[4] = {first.x, first.y, first.z, first.w};
  const std::uint32_t a_second[4] = {second.x, second.y, second.z, second.w};
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
    const std::uint32_t b_first[2] = {pieces[tile].x, pieces[tile].y};
    mma_bf16(sum[tile], a_first, b_first);
  }
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
    const std::uint32_t b_second[2] = {pieces[tile].z, pieces[tile].w};
    mma_bf16(sum[tile], a_second, b_second);
  }
}

// One chain: chunks [begin, end) of one panel for kTiles · 8 tokens from `token` on. ring: the warp's, kGroups groups of
// group_chunks chunks; group_chunks is even.
template <int kTiles, bool kPieces>
__device__ __forceinline__ void run_chain(const TensorView& x, const PackedMatrix& w, std::int64_t panel,
                                          std::int64_t token, int begin, int end, int group_chunks,
                                          unsigned char* ring, float (&sum)[kTiles][4]) {
  constexpr int kChunk = static_cast<int>(kChunkK);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int chunks = end - begin;
  const unsigned char* weights = static_cast<const unsigned char*>(w.data) + lane * kPieceBytes +
                                 (panel * (w.k_padded() / kChunkK) + begin) * kChunkBytes;
  const int k_begin = begin * kChunk + lane % 4 * 8;
  const int left = static_cast<int>(w.k) - k_begin;  // elements of a row from the lane's first on
  const std::uint16_t* row[kTiles];
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
    const std::int64_t mine = token + tile * kTokenTile + lane / 4;
    row[tile] = static_cast<const std::uint16_t*>(x.data) + (mine < x.rows ? mine : x.rows - 1) * x.row_stride + k_begin;
  }
  unsigned char* mine = ring + lane * kPieceBytes;
  const auto copy_group = [&](int group) {  // one group of copies, an empty one too, so that the wait below counts right
    unsigned char* to = mine + group % kGroups * group_chunks * kChunkBytes;
    for (int i = 0; i < group_chunks; i++) {
      const std::int64_t chunk = group * group_chunks + i;
      if (chunk >= chunks) break;
      copy16_async(to + i * kChunkBytes, weights + chunk * kChunkBytes, true);
      copy16_async(to + i * kChunkBytes + kChunkBytes / 2, weights + chunk * kChunkBytes + kChunkBytes / 2, true);
    }
    copy_commit();
  };
  uint4 pieces[2][kTiles] = {};  // of the next even and the next odd chunk
  const auto load_pieces = [&](uint4(&to)[kTiles], int chunk) {
    if (chunk >= chunks) return;
#pragma unroll
    for (int tile = 0; tile < kTiles; tile++) {
      to[tile] = load_piece<kPieces>(row[tile] + chunk * kChunk, left - chunk * kChunk);
    }
  };
  const auto step = [&](uint4(&chunk_pieces)[kTiles], const unsigned char* from, int chunk) {
    if (chunk >= chunks) return;
    const uint4 first = *reinterpret_cast<const uint4*>(from);
    const uint4 second = *reinterpret_cast<const uint4*>(from + kChunkBytes / 2);
    add_chunk(sum, first, second, chunk_pieces);
    load_pieces(chunk_pieces, chunk + 2);
  };

  for (int group = 0; group < kGroups; group++) copy_group(group);
  load_pieces(pieces[0], 0);
  load_pieces(pieces[1], 1);
  for (int group = 0; group * group_chunks < chunks; group++) {
    copy_wait<kGroups - 1>();
    const unsigned char* from = mine + group % kGroups * group_chunks * kChunkBytes;
    for (int i = 0; i < group_chunks; i += 2) {
      step(pieces[0], from + i * kChunkBytes, group * group_chunks + i);
      step(pieces[1], from + (i + 1) * kChunkBytes, group * group_chunks + i + 1);
    }
    warp_barrier();  // the group's weights have been read before others take their place
    copy_group(group + kGroups);
  }
}

// Calls use(token, output, sum) for the sums a thread holds; token counts from the warp's first.
template <int kTiles, class Use>
__device__ __forceinline__ void for_each_sum(const float (&sum)[kTiles][4], const Use& use) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
#pragma unroll
    for (int i = 0; i < 4; i++) use(tile * kTokenTile + lane % 4 * 2 + i % 2, lane / 4 + i / 2 * 8, sum[tile][i]);
  }
}

// The tree over the leaves of one element; leaf_sum: that element of leaf 0, of the next leaf `stride` further on.
__device__ __forceinline__ float add_leaves(const PackedMatrix& w, const float* leaf_sum, int stride) {
  float sum = 0.0F;
  float slot[kTreeLevels] = {};
  unsigned waiting = 0;
  for (int leaf = 0; leaf < w.leaf_count; leaf++) {
    sum = leaf_sum[leaf * stride];
    close_leaf(
        leaf, w.leaf_count, leaf_border(w, leaf) < leaf_border(w, leaf + 1), waiting,
        [&](auto level) { slot[level] = sum; }, [&](auto level) { sum = slot[level] + sum; },
        [&](auto level) { sum = slot[level]; });
  }
  return sum;
}

// Grid: (panels striped over x, groups of kTiles · 8 tokens). Dynamic shared memory: a ring for every warp, then with
// leaves f32 [warps][kTiles][8 tokens][16 outputs].
template <int kTiles, bool kPieces>
__global__ void __launch_bounds__(kWarpsMax<kTiles>* kWarp)
    skinny_kernel(TensorView x, PackedMatrix w, const float* bias, TensorView out, int group_chunks) {
  constexpr int kTokens = kTiles * kTokenTile;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int panels_at_once = warps / w.leaf_count;
  const int leaf = warp % w.leaf_count;
  const int begin = leaf_border(w, leaf), end = leaf_border(w, leaf + 1);
  const std::int64_t panels = w.outputs_padded() / kPanelOutputs;
  const std::int64_t grid = gridDim.x;
  const std::int64_t token = static_cast<std::int64_t>(blockIdx.y) * kTokens;
  const std::int64_t left = x.rows - token;
  const int tokens = left < kTokens ? static_cast<int>(left) : kTokens;
  const int ring_bytes = kGroups * group_chunks * kChunkBytes;
  unsigned char* ring = dynamic_shared() + warp * ring_bytes;
  auto* sums = reinterpret_cast<float*>(dynamic_shared() + warps * ring_bytes);
  for (std::int64_t first = blockIdx.x; first < panels; first += grid * panels_at_once) {
    const std::int64_t panel = first + warp / w.leaf_count * grid;
    float sum[kTiles][4] = {};
    if (panel < panels) run_chain<kTiles, kPieces>(x, w, panel, token, begin, end, group_chunks, ring, sum);
    if (w.leaf_count == 1) {
      if (panel >= panels) continue;
      for_each_sum(sum, [&](int t, int output, float value) {
        if (t < tokens) store_result(out, bias, token + t, panel * kPanelOutputs + output, value);
      });
      continue;
    }
    for_each_sum(sum, [&](int t, int output, float value) {
      sums[warp * kTiles * kTileElements + t * static_cast<int>(kPanelOutputs) + output] = value;
    });
    block_barrier();
    const int elements = tokens * static_cast<int>(kPanelOutputs);
    for (int i = static_cast<int>(threadIdx.x); i < panels_at_once * elements; i += static_cast<int>(blockDim.x)) {
      const int group = i / elements;
      const int element = i % elements;
      const std::int64_t to = first + group * grid;
      if (to >= panels) break;
      const float* leaf_sum = sums + group * w.leaf_count * kTiles * kTileElements + element;
      store_result(out, bias, token + element / kPanelOutputs, to * kPanelOutputs + element % kPanelOutputs,
                   add_leaves(w, leaf_sum, kTiles * kTileElements));
    }
    block_barrier();  // before the next panels' sums take their place
  }
}

// How the panels are spread, and how many chunks a group of the ring holds: more where fewer warps are there to have
// bytes under way; with leaves few, so that two blocks fit a multiprocessor.
struct Spread {
  int grid = 0, warps = 0, group_chunks = 2;
};
Spread spread(const Stream& stream, const PackedMatrix& w, int warps_max) {
  const auto panels = static_cast<int>(w.outputs_padded() / kPanelOutputs);
  Spread result;
  if (w.leaf_count > 1) {
    const int panels_at_once = kTreeWarps / w.leaf_count;
    result.warps = kTreeWarps;
    result.grid = (panels + panels_at_once - 1) / panels_at_once;
    return result;
  }
  // One block a multiprocessor, its panels in rounds of equal length.
  const auto rings = static_cast<int>(stream.shared_bytes_max() / (kGroups * result.group_chunks * kChunkBytes));
  const int most = rings < warps_max ? rings : warps_max;
  result.grid = panels < stream.multiprocessors() ? panels : stream.multiprocessors();
  const int share = (panels + result.grid - 1) / result.grid;
  const int rounds = (share + most - 1) / most;
  result.warps = (share + rounds - 1) / rounds;
  if (result.warps * 2 <= most) result.group_chunks = 4;
  return result;
}

template <int kTiles, bool kPieces>
void launch_skinny(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                   const TensorView& out) {
  const Spread to = spread(stream, w, kWarpsMax<kTiles>);
  std::size_t shared = static_cast<std::size_t>(to.warps) * kGroups * to.group_chunks * kChunkBytes;
  if (w.leaf_count > 1) shared += sizeof(float) * kTreeWarps * kTiles * kTileElements;
  const auto groups = static_cast<unsigned>((x.rows + kTiles * kTokenTile - 1) / (kTiles * kTokenTile));
  launch(stream, "matmul_skinny", skinny_kernel<kTiles, kPieces>, dim3(static_cast<unsigned>(to.grid), groups),
         to.warps * kWarp, shared, x, w, bias, out, to.group_chunks);
}

}  // namespace

void matmul_skinny(Stream& stream, const TensorView& x, const PackedMatrix& w, const float* bias,
                   const TensorView& out) {
  if (!rows_of_16_bytes(x)) {
    launch_skinny<1, false>(stream, x, w, bias, out);
  } else if (x.rows <= 8) {
    launch_skinny<1, true>(stream, x, w, bias, out);
  } else if (x.rows <= 16) {
    launch_skinny<2, true>(stream, x, w, bias, out);
  } else if (x.rows <= 32) {
    launch_skinny<4, true>(stream, x, w, bias, out);
  } else {
    launch_skinny<8, true>(stream, x, w, bias, out);
  }
}

}  // namespace herd::cuda
