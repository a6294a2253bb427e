// KV writes and attention of the CUDA backend: layouts byte by byte, float32 against the reference's bits, bf16 against
// results that rounding cannot touch, against double precision within a derived bound, and against itself: a row has
// the same bits however the step around it was made up.

#include "tests/kernels/cuda/attention_fixture.h"

#include "kernels/math.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT(google-build-using-namespace)

const std::vector<std::int32_t> kOne = {0}, kFour = {0, 0, 0, 0}, kPairs = {0, 0, 1, 1}, kUneven = {0, 0, 0, 1, 2, 2},
                                kThrees = {0, 0, 0, 1, 1, 1}, kEight = {0, 0, 0, 0, 0, 0, 0, 0},
                                kTwenty = std::vector<std::int32_t>(20, 0);  // more than a split item has rows

class CudaAttentionTest : public CudaTest {
 protected:
  // Has room for the partials of all steps here; walks() has none and takes partitions one after the other.
  static Device& splits() {
    static const std::unique_ptr<Device> device = [] {
      auto made = make_device();
      HERD_CHECK(made->step_recorder()->reserve({.rows = 64, .query_heads = 8, .head_dim = 256}).ok(), "there is room for scratch");
      return made;
    }();
    return *device;
  }
  static Device& walks() {
    static const std::unique_ptr<Device> device = make_device();
    return *device;
  }
  static std::vector<Tensor> whole_sequences(const PagedContext& context, std::int32_t count) {
    std::vector<Tensor> rows;
    for (std::int32_t s = 0; s < count; s++) rows.push_back(context.attend(splits(), {context.whole(s)}));
    return rows;
  }
};

// ---- KV writes ----

struct WriteCase {
  KvLayout layout;
  std::int32_t query_heads = 3;
  std::int64_t rows = 7;
};

template <class Word>
void check_writes(Device& device, Ops& reference, const WriteCase& c) {
  SCOPED_TRACE(std::string(dtype_name(c.layout.dtype)) + " block " + std::to_string(c.layout.block_size) +
               " head_dim " + std::to_string(c.layout.head_dim) + " rows " + std::to_string(c.rows));
  Random random(7);
  const std::int64_t blocks = 5, width = std::int64_t{c.layout.kv_heads} * c.layout.head_dim;
  Tensor q(c.layout.dtype, c.rows, std::int64_t{c.query_heads} * c.layout.head_dim), k(c.layout.dtype, c.rows, width),
      v(c.layout.dtype, c.rows, width, width + 3);
  for (Tensor* x : {&q, &k, &v}) x->fill(random, Fill::kPlain);
  std::vector<std::int64_t> slots;  // all different: 37 has no divisor in common with a number of slots
  for (std::int64_t t = 0; t < c.rows; t++) slots.push_back((t * 37 + 5) % (blocks * c.layout.block_size));
  slots[2] = -1;
  std::vector<std::int32_t> positions;
  for (std::int64_t t = 0; t < c.rows; t++) positions.push_back(static_cast<std::int32_t>(random.below(50)));
  const std::vector<float> table = random_values(random, std::int64_t{50} * c.layout.head_dim);

  const DeviceArray<std::int64_t> device_slots(device, slots);
  const DeviceArray<std::int32_t> device_positions(device, positions);
  const DeviceArray<float> device_table(device, table);
  const DeviceTensor device_q(device, q), device_k(device, k), device_v(device, v);
  const auto bytes = static_cast<std::size_t>(blocks * c.layout.bytes_per_block());
  const auto check_pool = [&](const DeviceMemory& pool, const char* what) {
    const std::vector<Word> expected = expected_pool<Word>({pool.data(), c.layout, blocks}, k, v, slots);
    std::vector<Word> actual(expected.size());
    pool.download(actual.data());
    EXPECT_EQ(std::memcmp(expected.data(), actual.data(), bytes), 0) << what;
    EXPECT_TRUE(pool.border_intact()) << what;
  };
  const DeviceMemory plain(device, bytes), rotated(device, bytes);
  device.ops().write_kv(device_k.view, device_v.view, device_slots.data(), {plain.data(), c.layout, blocks});
  check_pool(plain, "write_kv");
  EXPECT_EQ(difference(k, device_k.host()), "") << "write_kv changes nothing but the pool";

  device.ops().rope_write_kv(device_q.view, device_k.view, device_v.view, device_positions.data(), device_table.data(),
                             device_slots.data(), {rotated.data(), c.layout, blocks});
  reference.rope(q.view, c.query_heads, c.layout.head_dim, positions.data(), table.data());
  reference.rope(k.view, c.layout.kv_heads, c.layout.head_dim, positions.data(), table.data());
  check_pool(rotated, "rope_write_kv");
  EXPECT_EQ(difference(q, device_q.host()), "") << "q, also of the row without a slot";
}

TEST_F(CudaAttentionTest, WritesLandWhereTheLayoutsSayWithZerosInThePadding) {
  for (const std::int32_t head_dim : {16, 20, 48, 64, 80, 128, 256}) {
    for (const std::int32_t block_size : {16, 64, 512}) {
      const std::int32_t kv_heads = head_dim == 64 ? 3 : 2;
      check_writes<std::uint16_t>(device(), reference(), {{DType::kBF16, block_size, kv_heads, head_dim}, 3, 7});
      check_writes<float>(device(), reference(), {{DType::kF32, block_size, kv_heads, head_dim}, 5, 7});
    }
  }
  check_writes<std::uint16_t>(device(), reference(), {{DType::kBF16, 32, 2, 64}, 8, 100});
}

// ---- float32 ----

TEST_F(CudaAttentionTest, Float32HasTheReferencesBits) {
  Random random(11);
  const std::vector<std::int32_t> contexts = {1, 40, 530, 1030};
  const std::vector<Chunk> chunks = {{0, 0, 1}, {1, 3, 20}, {1, 7, 0}, {2, 500, 30}, kIdle, {3, 1029, 1}};
  const Heads shapes[] = {{DType::kF32, 16, 16, kOne, 0.25F},     {DType::kF32, 32, 20, kUneven, 0.2F},
                          {DType::kF32, 512, 64, kPairs, 0.125F}, {DType::kF32, 64, 80, kThrees, 0.11F},
                          {DType::kF32, 128, 256, kOne, 0.0625F}};
  for (const Heads& heads : shapes) {
    for (const Fill kind : {Fill::kPlain, Fill::kCancelling, Fill::kZeros, Fill::kSpecial}) {
      SCOPED_TRACE(heads.text() + " " + fill_name(kind));
      PagedContext context(device(), heads, contexts);
      context.fill(random, kind);
      context.write();
      const Tensor actual = context.attend(device(), chunks);

      std::vector<Tensor> expected;
      for (std::int32_t s = 0; s < 4; s++) {
        expected.emplace_back(DType::kF32, context.context(s), context[s].q.view.cols);
      }
      for (const Chunk& chunk : chunks) {
        if (chunk.sequence < 0) continue;
        const Tensor& out = expected[static_cast<std::size_t>(chunk.sequence)];
        reference_attention(reference(), heads, context[chunk.sequence], chunk, out);
      }
      EXPECT_EQ(difference_of_rows(expected, chunks, actual), "");
    }
  }
}

// ---- bf16 ----

const Heads kShapes[] = {
    {DType::kBF16, 16, 16, kOne, 0.25F},      {DType::kBF16, 32, 20, kUneven, 0.22F},
    {DType::kBF16, 16, 48, kThrees, 0.14F},   {DType::kBF16, 64, 64, kFour, 0.125F},
    {DType::kBF16, 128, 80, kPairs, 0.11F},   {DType::kBF16, 16, 128, kEight, 0.088F},
    {DType::kBF16, 512, 128, kUneven, 0.09F}, {DType::kBF16, 256, 160, kOne, 0.08F},
    {DType::kBF16, 32, 256, kPairs, 0.0625F}, {DType::kBF16, 64, 32, kTwenty, 0.18F},
};
const std::vector<std::int32_t> kContexts = {1, 40, 530, 1100};
// Prefill chunks, decode rows, few rows, rows on both sides of a partition's border, no rows, idle rows.
const std::vector<Chunk> kMixed = {{0, 0, 1},    kIdle,        {1, 0, 40},   {2, 505, 12}, {2, 529, 1}, {3, 600, 0},
                                   {3, 1097, 3}, {3, 480, 70}, {3, 1099, 1}, {1, 16, 1},   kIdle};

// Scores of zero give every visible key the weight 1, and sums of whole numbers are exact: the output is the rounded
// quotient of two whole numbers, whatever the order.
TEST_F(CudaAttentionTest, TheMeanOfWholeNumbersIsExact) {
  for (const Heads& heads : kShapes) {
    SCOPED_TRACE(heads.text());
    Random random(21);
    PagedContext context(splits(), heads, kContexts);
    std::vector<Tensor> expected;
    for (std::int32_t s = 0; s < 4; s++) {
      HostSequence& sequence = context[s];
      sequence.q.fill(random, Fill::kPlain);
      expected.emplace_back(DType::kBF16, context.context(s), sequence.q.view.cols);
      std::vector<double> sums(static_cast<std::size_t>(sequence.v.view.cols));
      for (std::int64_t i = 0; i < context.context(s); i++) {
        for (std::int64_t c = 0; c < sequence.v.view.cols; c++) {
          sequence.k.set(i, c, 0.0F);
          sequence.v.set(i, c, static_cast<float>(random.below(257) - 128));
          sums[static_cast<std::size_t>(c)] += sequence.v.at(i, c);
        }
        for (std::int64_t c = 0; c < sequence.q.view.cols; c++) {
          const std::int64_t kv_head = heads.kv_head_of_query[static_cast<std::size_t>(c / heads.head_dim)];
          const double sum = sums[static_cast<std::size_t>(kv_head * heads.head_dim + c % heads.head_dim)];
          expected.back().set(i, c, static_cast<float>(sum) / static_cast<float>(i + 1));
        }
      }
    }
    context.write();
    for (Device* on : {&splits(), &walks()}) {
      EXPECT_EQ(difference_of_rows(expected, kMixed, context.attend(*on, kMixed)), "");
    }
  }
}

// One key's score is so much higher that all other weights are +0: the output is its V. Every row looks for another.
TEST_F(CudaAttentionTest, ARowFindsTheOneKeyItAsksFor) {
  for (Heads heads : kShapes) {
    if (heads.head_dim < 20) continue;  // a position is written in 11 dims
    SCOPED_TRACE(heads.text());
    heads.scale = 64.0F;
    Random random(22);
    PagedContext context(splits(), heads, kContexts);
    std::vector<Tensor> expected;
    for (std::int32_t s = 0; s < 4; s++) {
      HostSequence& sequence = context[s];
      sequence.v.fill(random, Fill::kPlain);
      expected.emplace_back(DType::kBF16, context.context(s), sequence.q.view.cols);
      for (std::int64_t i = 0; i < context.context(s); i++) {
        for (std::int64_t c = 0; c < sequence.k.view.cols; c++) {
          const std::int64_t d = c % heads.head_dim;
          const bool one = d < 11 ? (i >> d & 1) != 0 : random.below(2) != 0;
          sequence.k.set(i, c, one ? 1.0F : -1.0F);
        }
        for (std::int32_t head = 0; head < heads.query_heads(); head++) {
          const std::int64_t sought = random.below(i + 1);
          const std::int64_t from = std::int64_t{heads.kv_head_of_query[static_cast<std::size_t>(head)]} * heads.head_dim;
          for (std::int64_t d = 0; d < heads.head_dim; d++) {
            sequence.q.set(i, head * heads.head_dim + d, 8.0F * sequence.k.at(sought, from + d));
            expected.back().set(i, head * heads.head_dim + d, sequence.v.at(sought, from + d));
          }
        }
      }
    }
    context.write();
    for (Device* on : {&splits(), &walks()}) {
      EXPECT_EQ(difference_of_rows(expected, kMixed, context.attend(*on, kMixed)), "");
    }
  }
}

TEST_F(CudaAttentionTest, StaysWithinTheBoundOfDoublePrecision) {
  for (const Heads& heads : kShapes) {
    for (const Fill kind : {Fill::kPlain, Fill::kZeros}) {
      SCOPED_TRACE(heads.text() + " " + fill_name(kind));
      Random random(23);
      PagedContext context(splits(), heads, kContexts);
      context.fill(random, kind);
      context.write();
      const Tensor actual = context.attend(splits(), kMixed);
      std::int64_t row = 0, outside = 0;
      for (const Chunk& chunk : kMixed) {
        for (std::int32_t i = 0; i < chunk.count; i++, row++) {
          if (chunk.sequence < 0 || (i % 7 != 0 && i + 1 < chunk.count)) continue;
          for (std::int32_t head = 0; head < heads.query_heads(); head++) {
            const Exact exact = exact_attention(heads, context[chunk.sequence], chunk.begin + i, head);
            for (std::int32_t d = 0; d < heads.head_dim; d++) {
              const double error = actual.at(row, head * heads.head_dim + d) - exact.value[static_cast<std::size_t>(d)];
              if (!(std::fabs(error) <= exact.bound[static_cast<std::size_t>(d)])) outside++;
            }
          }
        }
      }
      EXPECT_EQ(outside, 0);
    }
  }
}

TEST_F(CudaAttentionTest, ARowHasTheSameBitsInEveryStep) {
  for (const Heads& heads : kShapes) {
    SCOPED_TRACE(heads.text());
    Random random(24);
    const bool wide = heads.group_max() > 4;  // many rows, and all of them are computed
    PagedContext context(splits(), heads, wide ? std::vector<std::int32_t>{1, 40, 530} : kContexts);
    const std::int32_t sequences = wide ? 3 : 4;
    context.fill(random);
    context.write();
    const std::vector<Tensor> expected = whole_sequences(context, sequences);
    for (const std::int32_t size : {1, 3, 16, 64}) {
      std::vector<Chunk> chunks;  // of every sequence the first rows, those around borders, and the last
      std::vector<std::int32_t> begins = {0, 512 - size / 2};
      if (size <= 3) begins.insert(begins.end(), {14, 31, 512, 1023});
      begins.push_back(0);
      for (std::int32_t s = 0; s < sequences; s++) {
        begins.back() = context.context(s) - size;
        for (const std::int32_t begin : begins) {
          if (begin >= 0 && begin + size <= context.context(s)) chunks.push_back({s, begin, size});
        }
      }
      EXPECT_EQ(difference_of_rows(expected, chunks, context.attend(splits(), chunks)), "") << "chunks of " << size;
      if (size * heads.group_max() <= cuda::kSplitRows) {  // tiles have no partials
        EXPECT_EQ(difference_of_rows(expected, chunks, context.attend(walks(), chunks)), "") << size;
      }
      EXPECT_EQ(difference_of_rows(expected, {chunks.back()}, context.attend(splits(), {chunks.back()})), "") << size;
    }
    for (Device* on : {&splits(), &walks()}) {
      if (wide) continue;
      EXPECT_EQ(difference_of_rows(expected, kMixed, context.attend(*on, kMixed)), "") << "mixed";
    }
  }
}

// NaN and infinities in K and V: of rows that do not see them not a bit changes, whatever shares a tile with them.
TEST_F(CudaAttentionTest, WhatARowDoesNotSeeDoesNotReachIt) {
  for (const std::int32_t head_dim : {64, 80, 128}) {
    const Heads heads = {DType::kBF16, 16, head_dim, kPairs, 0.1F};
    SCOPED_TRACE(heads.text());
    Random random(25);
    PagedContext context(splits(), heads, {600, 600}), clean(splits(), heads, {600, 600});
    clean.fill(random);
    for (std::int32_t s = 0; s < 2; s++) {
      context[s].q.copy_from(clean[s].q);
      context[s].k.copy_from(clean[s].k);
      context[s].v.copy_from(clean[s].v);
    }
    for (const std::int64_t position : {37, 38, 300, 520}) {  // 37: the first row with a NaN in dim 5 of KV head 0
      context[0].v.set(position, 5, position == 38 ? -math::kInf : position == 520 ? math::kInf : math::kNan);
    }
    context[1].k.set(511, 3, math::kNan);
    context.write();
    clean.write();
    const std::vector<Tensor> expected = whole_sequences(clean, 2), special = whole_sequences(context, 2);
    for (std::int64_t row = 0; row < 600; row++) {
      for (std::int64_t c = 0; c < heads.query_heads() * head_dim; c++) {
        const bool nan = row >= 37 && c < 2 * head_dim && c % head_dim == 5;
        const bool nan_key = row >= 511 && c < 2 * head_dim;
        const float want = expected[0].at(row, c), want_key = expected[1].at(row, c);
        ASSERT_TRUE(same_bits(special[0].at(row, c), nan ? math::kNan : want)) << row << " " << c;
        ASSERT_TRUE(same_bits(special[1].at(row, c), nan_key ? math::kNan : want_key)) << row << " " << c;
      }
    }
    const std::vector<Chunk> chunks = {{0, 30, 8}, {0, 36, 1}, {0, 30, 16}, {0, 510, 4}, {1, 508, 4}, {1, 510, 1},
                                       {1, 500, 30}};
    for (Device* on : {&splits(), &walks()}) {
      EXPECT_EQ(difference_of_rows(special, chunks, context.attend(*on, chunks)), "");
    }
  }
}

// A pool where nothing follows the context but NaN, in the last block and in all others.
TEST_F(CudaAttentionTest, SlotsNeverWrittenAreNotSeen) {
  for (const std::int32_t block_size : {16, 512}) {
    for (const std::int32_t tokens : {1, 15, 17, 31, 47, 513, 530}) {
      const Heads heads = {DType::kBF16, block_size, 64, kFour, 0.1F};
      SCOPED_TRACE(std::to_string(block_size) + " " + std::to_string(tokens));
      Random random(26);
      PagedContext full(splits(), heads, {600}), part(splits(), heads, {600});
      full.fill(random);
      part[0].q.copy_from(full[0].q);
      part[0].k.copy_from(full[0].k);
      part[0].v.copy_from(full[0].v);
      full.write();
      part.write(tokens);
      const std::vector<Tensor> expected = whole_sequences(full, 1);
      for (const std::int32_t size : {1, 2, tokens}) {
        if (size > tokens) continue;
        const std::vector<Chunk> chunks = {{0, tokens - size, size}};
        for (Device* on : {&splits(), &walks()}) {
          EXPECT_EQ(difference_of_rows(expected, chunks, part.attend(*on, chunks)), "") << size;
        }
      }
    }
  }
}

TEST_F(CudaAttentionTest, ARecordedStepServesOtherContexts) {
  const Heads heads = {DType::kBF16, 16, 64, kPairs, 0.125F};
  Random random(27);
  PagedContext context(splits(), heads, {600, 1100});
  context.fill(random);
  context.write();
  const std::vector<Tensor> expected = whole_sequences(context, 2);
  const std::vector<std::vector<Chunk>> steps = {{{0, 3, 1}, {1, 0, 1}, kIdle, kIdle},
                                                 {{0, 599, 1}, {1, 1099, 1}, {1, 512, 1}, kIdle},
                                                 {{1, 1024, 1}, kIdle, {0, 100, 1}, {1, 511, 1}},
                                                 {kIdle, kIdle, kIdle, {0, 0, 1}}};
  // Arrays at fixed addresses, as wide as any step's.
  const auto wide = [](auto values, std::size_t size) {
    values.resize(size);
    return values;
  };
  const PagedContext::Step first = context.step_of(steps[0]);
  const DeviceTensor q(splits(), context.queries(steps[0]));
  const DeviceTensor out(splits(), Tensor(heads.act, 4, q.view.cols, q.view.cols + 8));
  DeviceArray<std::int32_t> query_begin(splits(), first.query_begin), context_length(splits(), first.context_length),
      table_begin(splits(), first.table_begin), split_begin(splits(), first.split_begin),
      tile_begin(splits(), first.tile_begin), kv_heads(splits(), heads.kv_head_of_query);
  DeviceArray<std::uint32_t> tables(splits(), wide(first.tables, 1000));
  AttentionBatch batch = DeviceStep(splits(), heads, first).batch;
  batch.query_begin = query_begin.data();
  batch.context_length = context_length.data();
  batch.block_tables = tables.data();
  batch.block_table_begin = table_begin.data();
  batch.kv_head_of_query = kv_heads.data();
  batch.work = {split_begin.data(), tile_begin.data(), false};
  for (const std::vector<Chunk>& chunks : steps) {
    const PagedContext::Step step = context.step_of(chunks);
    ASSERT_FALSE(step.tiles);
    const Tensor host_q = context.queries(chunks);
    splits().upload(q.view.data, host_q.view.data, static_cast<std::size_t>(4 * q.view.row_stride * 2));
    query_begin.upload(step.query_begin);
    context_length.upload(step.context_length);
    table_begin.upload(step.table_begin);
    split_begin.upload(step.split_begin);
    tile_begin.upload(step.tile_begin);
    tables.upload(wide(step.tables, 1000));
    splits().step_recorder()->run_step(77, [&] { splits().ops().attention(q.view, context.kv(), batch, out.view); });
    ASSERT_TRUE(splits().wait().ok());
    EXPECT_EQ(difference_of_rows(expected, chunks, out.host()), "");
  }
}

TEST_F(CudaAttentionTest, AHeadTooWideForBf16FailsTheDeviceAndSaysSo) {
  const std::unique_ptr<Device> own = make_device();
  const Heads heads = {DType::kBF16, 16, 288, kOne, 0.1F};
  PagedContext context(*own, heads, {3});
  const DeviceStep step(*own, heads, context.step_of({{0, 2, 1}}));
  const DeviceTensor q(*own, context.queries({{0, 2, 1}}));
  own->ops().attention(q.view, context.kv(), step.batch, q.view);
  const Status status = own->wait();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("head_dim 288 is more than 256"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace herd
