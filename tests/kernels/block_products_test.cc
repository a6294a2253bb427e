// Products with weights in blocks, on every backend of this CPU: the bits of reference/, which a NumPy program checks in turn
// (block_golden_test.cc). Extreme numbers, odd shapes, leaves, slices that begin inside a super-block, stacks of several formats.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/backends.h"
#include "tests/kernels/block_fixtures.h"

namespace herd {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

struct Case {
  WeightFormat format;
  std::int64_t tokens, outputs, k;
  std::vector<std::int32_t> leaf_chunk;  // empty: one leaf
  int chunks_before = 0;
  bool bias = false;
  BlockFill weights = BlockFill::kPlain;
  Fill x = Fill::kPlain;
  DType act = DType::kBF16;
  DType out = DType::kF32;
  int x_parts = 1;
};

void check_product(Random& random, const Case& c) {
  SCOPED_TRACE(std::string(format_name(c.format)) + " tokens " + std::to_string(c.tokens) + " outputs " + std::to_string(c.outputs) +
               " k " + std::to_string(c.k) + " leaves " + std::to_string(c.leaf_chunk.size()) + " before " +
               std::to_string(c.chunks_before) + " x " + fill_name(c.x) + " parts " + std::to_string(c.x_parts));
  BlockMatrix w(random, c.format, c.outputs, c.k, c.leaf_chunk, c.chunks_before, c.weights);
  w.pack(reference());
  w.packed.x_parts = c.x_parts;
  Tensor x(c.act, c.tokens, c.k, c.k + random.below(40));
  x.fill(random, c.x);
  const std::vector<float> bias = random_values(random, c.outputs);
  const float* const bias_data = c.bias ? bias.data() : nullptr;
  const std::int64_t stride = w.packed.outputs_padded() + random.below(3) * 16;
  Tensor expected(c.out, c.tokens, c.outputs, stride);
  reference().matmul(x.view, w.packed, bias_data, expected.view);
  on_every_backend([&](Ops& ops) {
    Tensor actual(c.out, c.tokens, c.outputs, stride);
    ops.matmul(x.view, w.packed, bias_data, actual.view);
    EXPECT_EQ(difference(expected, actual), "");
    EXPECT_TRUE(actual.outside_intact(c.outputs));
  });
}

// Leaves at random chunks, some of them empty.
std::vector<std::int32_t> random_leaves(Random& random, std::int64_t chunks) {
  const int count = 1 << random.below(4);
  std::vector<std::int32_t> leaves = {0};
  for (int i = 1; i < count; i++) leaves.push_back(static_cast<std::int32_t>(random.below(chunks + 1)));
  leaves.push_back(static_cast<std::int32_t>(chunks));
  std::sort(leaves.begin(), leaves.end());
  return leaves;
}

TEST(BlockProducts, EveryNumberOfRows) {
  Random random(1);
  for (const WeightFormat format : kBlockFormats) {
    for (std::int64_t tokens = 1; tokens <= 30; tokens++) {
      check_product(random, {format, tokens, 40, 544, {}, 0, tokens % 2 == 0, BlockFill::kPlain, Fill::kPlain, DType::kBF16,
                             tokens % 3 == 0 ? DType::kBF16 : DType::kF32});
    }
    for (const std::int64_t tokens : {64, 97, 512, 600}) check_product(random, {format, tokens, 32, 288, {}});
  }
}

TEST(BlockProducts, ExtremeNumbers) {
  Random random(2);
  for (const WeightFormat format : kBlockFormats) {
    for (const Fill x : kFills) {
      for (const DType act : {DType::kBF16, DType::kF32}) {
        for (const std::int64_t tokens : {1, 2, 5, 13})
          check_product(random, {format, tokens, 17, 320, {}, 0, false, BlockFill::kExtreme, x, act, DType::kF32});
      }
    }
  }
}

TEST(BlockProducts, LeavesAndSlices) {
  Random random(3);
  for (const WeightFormat format : kBlockFormats) {
    for (int i = 0; i < 40; i++) {
      const std::int64_t chunks = 1 + random.below(40);
      const int before = has_super_blocks(format) ? static_cast<int>(random.below(8)) : 0;
      check_product(random, {format, 1 + random.below(20), 1 + random.below(70), chunks * 32, random_leaves(random, chunks), before,
                             random.below(2) == 0, random.below(2) == 0 ? BlockFill::kPlain : BlockFill::kExtreme, Fill::kPlain,
                             DType::kBF16, DType::kF32});
    }
  }
}

TEST(BlockProducts, XInTwoParts) {
  Random random(9);
  for (const WeightFormat format : kBlockFormats) {
    const int before = has_super_blocks(format) ? 5 : 0;
    for (std::int64_t tokens = 1; tokens <= 30; tokens++) {
      const Fill x = kFills[tokens % static_cast<std::int64_t>(std::size(kFills))];
      const BlockFill weights = tokens % 4 == 0 ? BlockFill::kExtreme : BlockFill::kPlain;
      const DType out = tokens % 3 == 0 ? DType::kBF16 : DType::kF32;
      check_product(random, {format, tokens, 40, 352, {}, before, tokens % 2 == 0, weights, x, DType::kBF16, out, 2});
    }
    for (const std::int64_t tokens : {97, 300})
      check_product(random, {format, tokens, 32, 288, {}, 0, false, BlockFill::kPlain, Fill::kPlain, DType::kF32, DType::kF32, 2});
  }
}

// One row beside many is the same row: tiles do not show.
TEST(BlockProducts, RowsDoNotSeeEachOther) {
  Random random(4);
  for (const WeightFormat format : kBlockFormats) {
    BlockMatrix w(random, format, 48, 2304, {}, 0, BlockFill::kPlain);
    w.pack(reference());
    Tensor x(DType::kBF16, 150, 2304);
    x.fill(random, Fill::kPlain);
    on_every_backend([&](Ops& ops) {
      for (const int parts : {1, 2}) {
        w.packed.x_parts = parts;
        Tensor all(DType::kF32, 150, 48);
        ops.matmul(x.view, w.packed, nullptr, all.view);
        for (const auto& [row, rows] : std::vector<std::pair<int, int>>{{0, 1}, {149, 1}, {7, 2}, {20, 5}, {31, 100}}) {
          Tensor part(DType::kF32, rows, 48);
          ops.matmul(x.row_view(row, rows), w.packed, nullptr, part.view);
          for (int r = 0; r < rows; r++) {
            for (int c = 0; c < 48; c++) ASSERT_TRUE(same_bits(part.at(r, c), all.at(row + r, c))) << format_name(format) << row + r;
          }
        }
      }
    });
  }
}

// Every backend packs the same bytes, panel by panel in any order.
TEST(BlockProducts, PackedAlike) {
  Random random(5);
  for (const WeightFormat format : kBlockFormats) {
    const int before = has_super_blocks(format) ? 3 : 0;
    BlockMatrix expected(random, format, 50, 352, {}, before, BlockFill::kExtreme);
    expected.pack(reference());
    on_every_backend([&](Ops& ops) {
      BlockMatrix actual = BlockMatrix(random, format, 50, 352, {}, before, BlockFill::kExtreme);
      const std::int64_t stride = stored_row_bytes(expected.packed);
      for (std::int64_t row = 48; row >= 0; row -= 16)
        ops.pack_blocks(actual.packed, row, std::min<std::int64_t>(16, 50 - row), expected.rows.data() + row * stride);
      EXPECT_TRUE(std::equal(actual.bytes().begin(), actual.bytes().end(), expected.bytes().begin())) << format_name(format);
      EXPECT_TRUE(actual.border_intact());
    });
  }
}

TEST(BlockProducts, Embed) {
  Random random(6);
  for (const WeightFormat format : kBlockFormats) {
    BlockMatrix table(random, format, 37, 512, {}, 0, BlockFill::kExtreme);
    table.pack(reference());
    const std::vector<std::int32_t> ids = {36, 0, 15, 16, 15, 1, 35};
    for (const DType act : {DType::kBF16, DType::kF32}) {
      Tensor expected(act, 7, table.packed.k, table.packed.k + 3);
      reference().embed(table.packed, ids.data(), expected.view);
      on_every_backend([&](Ops& ops) {
        Tensor actual(act, 7, table.packed.k, table.packed.k + 3);
        ops.embed(table.packed, ids.data(), actual.view);
        EXPECT_EQ(difference(expected, actual), "") << format_name(format);
        EXPECT_TRUE(actual.outside_intact(table.packed.k));
      });
    }
  }
}

// A stack is its matrices one after the other, whatever their formats and however many columns each has.
TEST(BlockProducts, StacksOfSeveralFormats) {
  Random random(7);
  for (int i = 0; i < 40; i++) {
    const std::int64_t k = 256 * (1 + random.below(4));
    const std::int64_t tokens = i < 30 ? 1 + random.below(20) : 100 + random.below(400);
    std::vector<BlockMatrix> blocks;
    std::vector<Matrix> numbers;
    std::vector<PackedMatrix> stack;
    std::int64_t columns = 0;
    for (int part = 0; part < 3; part++) {
      const std::int64_t outputs = 1 + random.below(50);
      constexpr auto kFormats = static_cast<std::int64_t>(std::size(kBlockFormats));
      const std::int64_t kind = random.below(kFormats + 2);
      if (kind < kFormats) {
        blocks.emplace_back(random, kBlockFormats[kind], outputs, k, std::span<const std::int32_t>{}, 0, BlockFill::kPlain);
        blocks.back().pack(reference());
        stack.push_back(blocks.back().packed);
        stack.back().x_parts = 1 + static_cast<int>(random.below(2));
      } else {
        numbers.emplace_back(kind == kFormats ? DType::kBF16 : DType::kF32, outputs, k);
        reference().pack_rows(numbers.back().packed, 0, outputs, random_values(random, outputs * k).data());
        stack.push_back(numbers.back().packed);
      }
      columns += outputs;
    }
    Tensor x(DType::kBF16, tokens, k);
    x.fill(random, Fill::kPlain);
    const std::vector<float> bias = random_values(random, columns);
    const std::int64_t stride = round_up(columns, 16);
    Tensor expected(DType::kBF16, tokens, columns, stride);
    std::int64_t column = 0;
    for (const PackedMatrix& w : stack) {
      reference().matmul_stack(x.view, {&w, 1}, bias.data() + column, columns_of(expected.view, column, w.outputs));
      column += w.outputs;
    }
    on_every_backend([&](Ops& ops) {
      Tensor actual(DType::kBF16, tokens, columns, stride);
      ops.matmul_stack(x.view, stack, bias.data(), actual.view);
      EXPECT_EQ(difference(expected, actual), "") << tokens;
      EXPECT_TRUE(actual.outside_intact(columns));
    });
  }
}

TEST(BlockProductsDeathTest, WrongShapesAreRefused) {
  Random random(8);
  BlockMatrix w(random, WeightFormat::kQ6_K, 16, 64, {}, 0, BlockFill::kPlain);
  w.packed.k = 48;
  EXPECT_DEATH(reference().pack_blocks(w.packed, 0, 16, w.rows.data()), "whole number of them");
  w.packed.k = 64;
  w.packed.chunks_before = 8;
  EXPECT_DEATH(reference().pack_blocks(w.packed, 0, 16, w.rows.data()), "begins in its first block");
  w.packed.chunks_before = 0;
  EXPECT_DEATH(reference().pack_rows(w.packed, 0, 16, nullptr), "source|numbers");
}

}  // namespace
}  // namespace herd
