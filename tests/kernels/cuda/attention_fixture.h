#pragma once
// What tests of attention on a GPU share: sequences with a paged context in a poisoned pool, steps over any of their
// rows, and attention in double precision with a bound for what bf16 may differ from it. Not a test.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "kernels/plans/attention_work.h"
#include "kernels/cuda/layouts.h"
#include "tests/kernels/cuda/cuda_fixture.h"

namespace herd::testing {

struct Heads {
  DType act = DType::kBF16;
  std::int32_t block_size = 16;
  std::int32_t head_dim = 64;
  std::vector<std::int32_t> kv_head_of_query = {0};
  float scale = 0.125F;

  [[nodiscard]] std::int32_t query_heads() const { return static_cast<std::int32_t>(kv_head_of_query.size()); }
  [[nodiscard]] std::int32_t kv_heads() const { return kv_head_of_query.back() + 1; }
  [[nodiscard]] std::int32_t group_max() const {
    std::vector<std::int32_t> count(static_cast<std::size_t>(kv_heads()));
    for (const std::int32_t head : kv_head_of_query) count[static_cast<std::size_t>(head)]++;
    return *std::max_element(count.begin(), count.end());
  }
  [[nodiscard]] std::string text() const {
    return std::string(dtype_name(act)) + " block " + std::to_string(block_size) + " head_dim " +
           std::to_string(head_dim) + " heads " + std::to_string(query_heads()) + "/" + std::to_string(kv_heads());
  }
};

// `count` rows of a sequence from position `begin` on. sequence -1: a row that only fills a batch up.
struct Chunk {
  std::int32_t sequence = 0;
  std::int32_t begin = 0;
  std::int32_t count = 1;
};
inline constexpr Chunk kIdle = {-1, 0, 1};

// One sequence on the host: q [context, query_heads * head_dim], k and v [context, kv_heads * head_dim].
struct HostSequence {
  Tensor q, k, v;
};

// Sequences with all of their K and V in a pool of the device, blocks in no order; what was not written is NaN.
class PagedContext {
 public:
  PagedContext(Device& device, const Heads& heads, const std::vector<std::int32_t>& contexts)
      : device_(device),
        heads_(heads),
        layout_{heads.act, heads.block_size, heads.kv_heads(), heads.head_dim},
        blocks_(block_count(heads, contexts)),
        pool_(device, static_cast<std::size_t>(blocks_ * layout_.bytes_per_block())) {
    Random random(static_cast<std::uint64_t>(heads.head_dim * 1000 + heads.block_size));
    std::vector<std::uint32_t> free(static_cast<std::size_t>(blocks_));
    std::iota(free.begin(), free.end(), 0U);
    for (std::size_t i = free.size(); i > 1; i--) {
      std::swap(free[i - 1], free[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
    }
    for (const std::int32_t context : contexts) {
      const std::int64_t kv_width = std::int64_t{heads.kv_heads()} * heads.head_dim;
      sequences_.push_back({Tensor(heads.act, context, std::int64_t{heads.query_heads()} * heads.head_dim),
                            Tensor(heads.act, context, kv_width), Tensor(heads.act, context, kv_width)});
      tables_.emplace_back();
      for (std::int64_t b = 0; b < round_up(context, heads.block_size) / heads.block_size; b++) {
        tables_.back().push_back(free.back());
        free.pop_back();
      }
    }
  }

  [[nodiscard]] const Heads& heads() const { return heads_; }
  [[nodiscard]] KvView kv() const { return {pool_.data(), layout_, blocks_}; }
  [[nodiscard]] HostSequence& operator[](std::int32_t s) { return sequences_[static_cast<std::size_t>(s)]; }
  [[nodiscard]] std::int32_t context(std::int32_t s) const {
    return static_cast<std::int32_t>(sequences_[static_cast<std::size_t>(s)].q.view.rows);
  }
  [[nodiscard]] Chunk whole(std::int32_t s) const { return {s, 0, context(s)}; }

  void fill(Random& random, Fill kind = Fill::kPlain) {
    for (HostSequence& sequence : sequences_) {
      for (Tensor* tensor : {&sequence.q, &sequence.k, &sequence.v}) tensor->fill(random, kind);
    }
  }
  // Writes positions [0, tokens) of every sequence, or all it has.
  void write(std::int32_t tokens = std::int32_t{1} << 30) {
    for (std::size_t s = 0; s < sequences_.size(); s++) {
      const std::int64_t count = std::min<std::int64_t>(tokens, sequences_[s].k.view.rows);
      std::vector<std::int64_t> slots;
      for (std::int64_t i = 0; i < count; i++) {
        const std::int64_t block = tables_[s][static_cast<std::size_t>(i / heads_.block_size)];
        slots.push_back(block * heads_.block_size + i % heads_.block_size);
      }
      const DeviceTensor k(device_, sequences_[s].k), v(device_, sequences_[s].v);
      const DeviceArray<std::int64_t> device_slots(device_, slots);
      device_.ops().write_kv(k.row_view(0, count), v.row_view(0, count), device_slots.data(), kv());
      EXPECT_TRUE(device_.wait().ok());
    }
  }

  // The outputs of one step on `device`, rows in the order of the chunks.
  [[nodiscard]] Tensor attend(Device& device, const std::vector<Chunk>& chunks) const;

  // What a step reads, on the host.
  struct Step {
    std::vector<std::int32_t> query_begin = {0}, context_length, table_begin = {0}, split_begin, tile_begin;
    std::vector<std::uint32_t> tables;
    bool tiles = false;
  };
  [[nodiscard]] Step step_of(const std::vector<Chunk>& chunks) const {
    Step step;
    for (const Chunk& chunk : chunks) {
      step.query_begin.push_back(step.query_begin.back() + chunk.count);
      step.context_length.push_back(chunk.sequence < 0 ? 0 : chunk.begin + chunk.count);
      const std::int64_t blocks = round_up(step.context_length.back(), heads_.block_size) / heads_.block_size;
      for (std::int64_t b = 0; b < blocks; b++) {  // no more than it needs: what follows is another's, or no block
        step.tables.push_back(
            tables_[static_cast<std::size_t>(chunk.sequence)][static_cast<std::size_t>(b)]);
      }
      step.table_begin.push_back(static_cast<std::int32_t>(step.tables.size()));
    }
    step.tables.push_back(0x7fffffffU);  // read, it is far outside the pool
    step.split_begin.resize(chunks.size() + 1);
    step.tile_begin.resize(chunks.size() + 1);
    step.tiles = cuda::cut_attention(step.query_begin.data(), step.context_length.data(),
                                     static_cast<std::int32_t>(chunks.size()), heads_.group_max(),
                                     step.split_begin.data(), step.tile_begin.data());
    return step;
  }
  [[nodiscard]] Tensor queries(const std::vector<Chunk>& chunks) const {
    std::int64_t rows = 0;
    for (const Chunk& chunk : chunks) rows += chunk.count;
    const std::int64_t width = std::int64_t{heads_.query_heads()} * heads_.head_dim;
    Tensor q(heads_.act, rows, width, width + 8);
    std::int64_t row = 0;
    for (const Chunk& chunk : chunks) {
      for (std::int64_t i = 0; i < chunk.count; i++, row++) {
        for (std::int64_t c = 0; chunk.sequence >= 0 && c < width; c++) {
          q.set(row, c, sequences_[static_cast<std::size_t>(chunk.sequence)].q.at(chunk.begin + i, c));
        }
      }
    }
    return q;
  }

 private:
  static std::int64_t block_count(const Heads& heads, const std::vector<std::int32_t>& contexts) {
    std::int64_t blocks = 3;
    for (const std::int32_t context : contexts) blocks += round_up(context, heads.block_size) / heads.block_size;
    return blocks;
  }

  Device& device_;
  const Heads heads_;
  const KvLayout layout_;
  const std::int64_t blocks_;
  DeviceMemory pool_;
  std::vector<HostSequence> sequences_;
  std::vector<std::vector<std::uint32_t>> tables_;
};

// The arrays of a step on the device; `batch` points to them.
class DeviceStep {
 public:
  DeviceStep(Device& device, const Heads& heads, const PagedContext::Step& step)
      : query_begin_(device, step.query_begin),
        context_length_(device, step.context_length),
        table_begin_(device, step.table_begin),
        split_begin_(device, step.split_begin),
        tile_begin_(device, step.tile_begin),
        kv_heads_(device, heads.kv_head_of_query),
        tables_(device, step.tables) {
    batch.sequences = static_cast<std::int32_t>(step.context_length.size());
    batch.query_begin = query_begin_.data();
    batch.context_length = context_length_.data();
    batch.block_tables = tables_.data();
    batch.block_table_begin = table_begin_.data();
    batch.query_heads = heads.query_heads();
    batch.kv_head_of_query = kv_heads_.data();
    batch.group_max = heads.group_max();
    batch.scale = heads.scale;
    batch.work = {split_begin_.data(), tile_begin_.data(), step.tiles};
  }
  AttentionBatch batch;

 private:
  DeviceArray<std::int32_t> query_begin_, context_length_, table_begin_, split_begin_, tile_begin_, kv_heads_;
  DeviceArray<std::uint32_t> tables_;
};

inline Tensor PagedContext::attend(Device& device, const std::vector<Chunk>& chunks) const {
  const Tensor q = queries(chunks);
  const DeviceStep step(device, heads_, step_of(chunks));
  const DeviceTensor device_q(device, q);
  const DeviceTensor out(device, Tensor(heads_.act, q.view.rows, q.view.cols, q.view.cols + 8));
  device.ops().attention(device_q.view, kv(), step.batch, out.view);
  EXPECT_TRUE(device.wait().ok()) << device.wait().message();
  EXPECT_TRUE(out.outside_intact(q.view.cols)) << "written outside";
  return out.host();
}

// Attention of one row and head in double precision, and how far the bf16 path may be from it.
struct Exact {
  std::vector<double> value;
  std::vector<double> bound;
};
inline Exact exact_attention(const Heads& heads, const HostSequence& sequence, std::int64_t position,
                             std::int32_t head) {
  const std::int64_t dims = heads.head_dim, visible = position + 1;
  const std::int64_t kv_at = std::int64_t{heads.kv_head_of_query[static_cast<std::size_t>(head)]} * dims;
  std::vector<double> score(static_cast<std::size_t>(visible));
  double max = -INFINITY, min = INFINITY, products = 0;
  for (std::int64_t i = 0; i < visible; i++) {
    double dot = 0, magnitude = 0;
    for (std::int64_t d = 0; d < dims; d++) {
      const double product = double{sequence.q.at(position, head * dims + d)} * sequence.k.at(i, kv_at + d);
      dot += product;
      magnitude += std::fabs(product);
    }
    score[static_cast<std::size_t>(i)] = dot * heads.scale;
    max = std::max(max, dot * heads.scale);
    min = std::min(min, dot * heads.scale);
    products = std::max(products, magnitude * heads.scale);
  }
  double sum = 0;
  for (double& s : score) sum += s = std::exp(s - max);

  // A product of 16 terms and an accumulator loses at most one unit of 2^-23 of the largest magnitude a term.
  const double mma = 17 * 0x1p-23;
  const double folds = static_cast<double>((visible - 1) / 512);
  // Of a P, relative: its score's error, the rounding of the difference, exp, and the rounding to bf16; of a fold, the
  // differences of two maxima, exp, two products. l is the sum of the same P: 32 + 4 additions and one a fold.
  const double score_error = products * (mma * static_cast<double>(round_up(dims, 32) / 16) + 0x1p-23);
  const double difference = (max - min + score_error) * 0x1p-23 + 0x1p-22;
  const double weight = 2 * score_error + difference + 0x1p-9 + folds * (difference + 0x1p-22);
  const double addition = 32 * mma + (36 + 2 * folds) * 0x1p-23 + 0x1p-23;
  Exact exact;
  for (std::int64_t d = 0; d < dims; d++) {
    double value = 0, magnitude = 0;
    for (std::int64_t i = 0; i < visible; i++) {
      const double v = sequence.v.at(i, kv_at + d);
      value += score[static_cast<std::size_t>(i)] / sum * v;
      magnitude += score[static_cast<std::size_t>(i)] / sum * std::fabs(v);
    }
    const double before = (2 * weight / (1 - weight) + 2 * addition) * magnitude + 0x1p-100;
    exact.value.push_back(value);
    exact.bound.push_back(before + (std::fabs(value) + before) * 0x1p-9);  // and the output is rounded
  }
  return exact;
}

// The rows of a chunk by the reference backend, from a pool of its own, into those rows of `out`.
inline void reference_attention(Ops& reference, const Heads& heads, const HostSequence& sequence, const Chunk& chunk,
                                const Tensor& out) {
  const std::int32_t context = chunk.begin + chunk.count;
  const KvLayout layout = {heads.act, heads.block_size, heads.kv_heads(), heads.head_dim};
  const std::int64_t blocks = round_up(context, heads.block_size) / heads.block_size;
  const Memory pool(static_cast<std::size_t>(blocks * layout.bytes_per_block()));
  const KvView kv = {pool.data(), layout, blocks};
  std::vector<std::int64_t> slots(static_cast<std::size_t>(context));
  std::iota(slots.begin(), slots.end(), 0);
  reference.write_kv(sequence.k.row_view(0, context), sequence.v.row_view(0, context), slots.data(), kv);
  std::vector<std::uint32_t> table(static_cast<std::size_t>(blocks));
  std::iota(table.begin(), table.end(), 0U);
  const std::int32_t query_begin[] = {0, chunk.count}, table_begin[] = {0, static_cast<std::int32_t>(blocks)};
  AttentionBatch batch;
  batch.sequences = 1;
  batch.query_begin = query_begin;
  batch.context_length = &context;
  batch.block_tables = table.data();
  batch.block_table_begin = table_begin;
  batch.query_heads = heads.query_heads();
  batch.kv_head_of_query = heads.kv_head_of_query.data();
  batch.group_max = heads.group_max();
  batch.scale = heads.scale;
  reference.attention(sequence.q.row_view(chunk.begin, chunk.count), kv, batch,
                      out.row_view(chunk.begin, chunk.count));
}

// "" or where the rows of a step differ in bits from those of `expected`, one tensor a sequence.
inline std::string difference_of_rows(const std::vector<Tensor>& expected, const std::vector<Chunk>& chunks,
                               const Tensor& actual) {
  std::int64_t row = 0;
  for (const Chunk& chunk : chunks) {
    for (std::int32_t i = 0; i < chunk.count; i++, row++) {
      for (std::int64_t c = 0; c < actual.view.cols; c++) {
        const float want =
            chunk.sequence < 0 ? 0.0F : expected[static_cast<std::size_t>(chunk.sequence)].at(chunk.begin + i, c);
        if (same_bits(want, actual.at(row, c))) continue;
        char text[160];
        std::snprintf(text, sizeof(text), "sequence %d position %d col %ld: %a, not %a", chunk.sequence,
                      chunk.begin + i, static_cast<long>(c), static_cast<double>(actual.at(row, c)),
                      static_cast<double>(want));
        return text;
      }
    }
  }
  return "";
}

// What the pool must hold after k and v were written at `slots`, element by element by the layouts; poison elsewhere.
template <class Word>
std::vector<Word> expected_pool(const KvView& kv, const Tensor& k, const Tensor& v,
                                const std::vector<std::int64_t>& slots) {
  const KvLayout& layout = kv.layout;
  const std::int64_t block_words = layout.bytes_per_block() / static_cast<std::int64_t>(sizeof(Word));
  std::vector<Word> words(static_cast<std::size_t>(kv.blocks * block_words));
  std::fill_n(reinterpret_cast<unsigned char*>(words.data()), words.size() * sizeof(Word), 0xff);
  const auto word = [](float value) {
    if constexpr (sizeof(Word) == 4) return value;
    return static_cast<Word>(to_bf16(value).bits);
  };
  for (std::size_t t = 0; t < slots.size(); t++) {
    if (slots[t] < 0) continue;
    const std::int64_t at = slots[t] / layout.block_size * block_words, token = slots[t] % layout.block_size;
    for (std::int64_t head = 0; head < layout.kv_heads; head++) {
      const auto value = [&](const Tensor& x, std::int64_t d) {
        return d < layout.head_dim ? x.at(static_cast<std::int64_t>(t), head * layout.head_dim + d) : 0.0F;
      };
      for (std::int64_t d = 0; d < round_up(layout.head_dim, 32); d++) {
        const std::int64_t f32 = ((head * (layout.block_size / 16) + token / 16) * round_up(layout.head_dim, 32) + d) *
                                     16 + token % 16;
        words[static_cast<std::size_t>(at + (sizeof(Word) == 4 ? f32 : cuda::k_index(layout, head, token, d)))] =
            word(value(k, d));
      }
      for (std::int64_t d = 0; d < round_up(layout.head_dim, 16); d++) {
        const std::int64_t f32 = layout.k_elements_per_token() * layout.block_size +
                                 (head * layout.block_size + token) * round_up(layout.head_dim, 16) + d;
        words[static_cast<std::size_t>(at + (sizeof(Word) == 4 ? f32 : cuda::v_index(layout, head, token, d)))] =
            word(value(v, d));
      }
    }
  }
  return words;
}

}  // namespace herd::testing
