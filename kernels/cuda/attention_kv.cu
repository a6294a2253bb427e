// K and V of a step's rows into their slots, alone or with RoPE of q and k on the way: the reference backend's bits.
// A thread takes pairs of dims of q and k, then single elements; the work of a row is cut over a few blocks.

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_kv.h"
#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/math.h"

namespace herd::cuda {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kThreadItems = 4;

struct WriteArgs {
  TensorView q;  // of rope_write_kv alone
  TensorView k, v;
  const std::int32_t* positions;  // likewise
  const float* table;
  const std::int64_t* slots;
  KvView kv;
  std::int32_t query_heads;
};

// Element types of activations and KV: words that hold them.
struct Bf16Elements {
  using Word = std::uint16_t;
  HERD_INLINE static float load(Word word) { return to_float(BFloat16{word}); }
  HERD_INLINE static Word store(float value) { return to_bf16(value).bits; }
  HERD_INLINE static std::int64_t k_at(const KvLayout& layout, std::int64_t head, std::int64_t token, std::int64_t d) {
    return k_index(layout, head, token, d);
  }
  HERD_INLINE static std::int64_t v_at(const KvLayout& layout, std::int64_t head, std::int64_t token, std::int64_t d) {
    return v_index(layout, head, token, d);
  }
};
struct F32Elements {
  using Word = float;
  HERD_INLINE static float load(Word word) { return word; }
  HERD_INLINE static Word store(float value) { return value; }
  HERD_INLINE static std::int64_t k_at(const KvLayout& layout, std::int64_t head, std::int64_t token, std::int64_t d) {
    return cpu_k_index(layout, head, token, d);
  }
  HERD_INLINE static std::int64_t v_at(const KvLayout& layout, std::int64_t head, std::int64_t token, std::int64_t d) {
    return cpu_v_index(layout, head, token, d);
  }
};

template <class Elements>
struct Slot {
  using Word = typename Elements::Word;
  Word* block;
  std::int64_t token;
  bool exists;
};
template <class Elements>
__device__ __forceinline__ Slot<Elements> slot_of(const WriteArgs& args, std::int64_t row) {
  using Word = typename Elements::Word;
  const KvLayout& layout = args.kv.layout;
  const std::int64_t slot = args.slots[row];
  const bool exists = slot >= 0;
  const std::int64_t block = exists ? slot / layout.block_size : 0;
  return {reinterpret_cast<Word*>(static_cast<char*>(args.kv.data) + block * layout.bytes_per_block()),
          exists ? slot % layout.block_size : 0, exists};
}

template <class Word>
__device__ __forceinline__ Word* row_of(const TensorView& x, std::int64_t row) {
  return static_cast<Word*>(x.data) + row * x.row_stride;
}

// Elements of a token: K as it is (with its padding, or the padding alone), then V with its padding.
template <class Elements>
__device__ __forceinline__ void write_element(const WriteArgs& args, const Slot<Elements>& slot, std::int64_t row,
                                              std::int32_t i, std::int32_t k_dim_begin) {
  using Word = typename Elements::Word;
  const KvLayout& layout = args.kv.layout;
  const auto k_dims = static_cast<std::int32_t>(round_up(layout.head_dim, 32)) - k_dim_begin;
  const auto v_dims = static_cast<std::int32_t>(round_up(layout.head_dim, 16));
  if (!slot.exists) return;
  if (i < layout.kv_heads * k_dims) {
    const std::int32_t head = i / k_dims, d = k_dim_begin + i % k_dims;
    const Word* from = row_of<Word>(args.k, row) + std::int64_t{head} * layout.head_dim;
    slot.block[Elements::k_at(layout, head, slot.token, d)] = d < layout.head_dim ? from[d] : Word{0};
    return;
  }
  i -= layout.kv_heads * k_dims;
  const std::int32_t head = i / v_dims, d = i % v_dims;
  const Word* from = row_of<Word>(args.v, row) + std::int64_t{head} * layout.head_dim;
  slot.block[Elements::v_at(layout, head, slot.token, d)] = d < layout.head_dim ? from[d] : Word{0};
}
HERD_INLINE std::int32_t element_count(const KvLayout& layout, std::int32_t k_dim_begin) {
  return static_cast<std::int32_t>(layout.kv_heads * (round_up(layout.head_dim, 32) - k_dim_begin) +
                                   layout.v_elements_per_token());
}

template <class Elements>
__global__ void __launch_bounds__(kThreads) write_kv_kernel(WriteArgs args) {
  const std::int64_t row = blockIdx.x;
  const Slot<Elements> slot = slot_of<Elements>(args, row);
  const std::int32_t count = element_count(args.kv.layout, 0);
  for (auto i = static_cast<std::int32_t>(blockIdx.y * kThreads + threadIdx.x); i < count;
       i += static_cast<std::int32_t>(gridDim.y) * kThreads) {
    write_element(args, slot, row, i, 0);
  }
}

// Pair i of the row's query heads, then KV heads: dims (d, d + head_dim / 2), rotated. q in place, k to its slot.
template <class Elements>
__device__ __forceinline__ void rotate_pair(const WriteArgs& args, const Slot<Elements>& slot, std::int64_t row,
                                            std::int32_t i) {
  using Word = typename Elements::Word;
  const KvLayout& layout = args.kv.layout;
  const std::int32_t half = layout.head_dim / 2, head = i / half, d = i % half;
  const bool is_q = head < args.query_heads;
  const std::int32_t kv_head = head - args.query_heads;
  if (!is_q && !slot.exists) return;
  Word* x = is_q ? row_of<Word>(args.q, row) + std::int64_t{head} * layout.head_dim
                 : row_of<Word>(args.k, row) + std::int64_t{kv_head} * layout.head_dim;
  const float* cosines = args.table + std::int64_t{args.positions[row]} * layout.head_dim;
  const float cosine = cosines[d], sine = cosines[d + half];
  const float a = Elements::load(x[d]), b = Elements::load(x[d + half]);
  const Word low = Elements::store(fma_f32(a, cosine, -(b * sine)));
  const Word high = Elements::store(fma_f32(b, cosine, a * sine));
  if (is_q) {
    x[d] = low;
    x[d + half] = high;
  } else {
    slot.block[Elements::k_at(layout, kv_head, slot.token, d)] = low;
    slot.block[Elements::k_at(layout, kv_head, slot.token, d + half)] = high;
  }
}
HERD_INLINE std::int32_t pair_count(const KvLayout& layout, std::int32_t query_heads) {
  return (query_heads + layout.kv_heads) * (layout.head_dim / 2);
}

template <class Elements>
__global__ void __launch_bounds__(kThreads) rope_write_kv_kernel(WriteArgs args) {
  const std::int64_t row = blockIdx.x;
  const KvLayout& layout = args.kv.layout;
  const Slot<Elements> slot = slot_of<Elements>(args, row);
  const std::int32_t pairs = pair_count(layout, args.query_heads);
  const std::int32_t count = pairs + element_count(layout, layout.head_dim);
  for (auto i = static_cast<std::int32_t>(blockIdx.y * kThreads + threadIdx.x); i < count;
       i += static_cast<std::int32_t>(gridDim.y) * kThreads) {
    if (i < pairs) {
      rotate_pair(args, slot, row, i);
    } else {
      write_element(args, slot, row, i - pairs, layout.head_dim);
    }
  }
}

dim3 grid_of(std::int64_t rows, std::int32_t count) {
  constexpr std::int32_t kBlockItems = kThreads * kThreadItems;
  return dim3(static_cast<unsigned>(rows), static_cast<unsigned>((count + kBlockItems - 1) / kBlockItems));
}

}  // namespace

void write_kv(Stream& stream, const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv) {
  const WriteArgs args = {{}, k, v, nullptr, nullptr, slots, kv, 0};
  auto* const kernel =
      kv.layout.dtype == DType::kF32 ? write_kv_kernel<F32Elements> : write_kv_kernel<Bf16Elements>;
  launch(stream, "write_kv", kernel, grid_of(k.rows, element_count(kv.layout, 0)), kThreads, 0, args);
}

void rope_write_kv(Stream& stream, const TensorView& q, const TensorView& k, const TensorView& v,
                   const std::int32_t* positions, const float* table, const std::int64_t* slots, const KvView& kv) {
  const KvLayout& layout = kv.layout;
  const auto query_heads = static_cast<std::int32_t>(q.cols / layout.head_dim);
  const WriteArgs args = {q, k, v, positions, table, slots, kv, query_heads};
  const std::int32_t count = pair_count(layout, query_heads) + element_count(layout, layout.head_dim);
  auto* const kernel =
      layout.dtype == DType::kF32 ? rope_write_kv_kernel<F32Elements> : rope_write_kv_kernel<Bf16Elements>;
  launch(stream, "rope_write_kv", kernel, grid_of(k.rows, count), kThreads, 0, args);
}

}  // namespace herd::cuda
