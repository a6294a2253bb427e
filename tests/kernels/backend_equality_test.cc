// Every operation of every backend this CPU has gives the bits of reference/: plain and nasty inputs, odd shapes,
// one row or many, outputs and gaps poisoned beforehand.

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/device.h"
#include "tests/kernels/backends.h"
#include "tests/kernels/kernel_fixtures.h"

namespace herd {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

constexpr float kNegativeInf = -__builtin_inff();
constexpr DType kActs[] = {DType::kBF16, DType::kF32};

std::string describe(DType act, Fill fill) { return std::string(dtype_name(act)) + " " + fill_name(fill); }

// ---- weights ----

TEST(BackendEquality, PackRows) {
  Random random(1);
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    for (const Fill fill : kFills) {
      for (const auto& [outputs, k] :
           std::vector<std::pair<int, int>>{{1, 1}, {16, 32}, {17, 33}, {50, 100}, {48, 31}}) {
        const std::vector<float> source = random_values(random, std::int64_t{outputs} * k, fill);
        const Matrix expected(dtype, outputs, k);
        reference().pack_rows(expected.packed, 0, outputs, source.data());
        on_every_backend([&](Ops& ops) {
          SCOPED_TRACE(describe(dtype, fill));
          const Matrix actual(dtype, outputs, k);
          for (std::int64_t row = (outputs - 1) / 16 * 16; row >= 0; row -= 16) {  // panel by panel, last first
            ops.pack_rows(actual.packed, row, std::min<std::int64_t>(16, outputs - row), source.data() + row * k);
          }
          for (std::int64_t i = 0; i < actual.packed.bytes(); i++) {
            if (fill == Fill::kSpecial) break;  // NaN payloads may differ; the products below compare these
            ASSERT_EQ(expected.data()[i], actual.data()[i]) << "byte " << i << " of " << outputs << " x " << k;
          }
          EXPECT_TRUE(actual.border_intact());
        });
      }
    }
  }
}

TEST(BackendEquality, Embed) {
  Random random(2);
  for (const DType act : kActs) {
    for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
      for (const Fill fill : kFills) {
        for (const int hidden : {1, 16, 33, 64, 100, 576}) {
          const Matrix table(dtype, 37, hidden);
          reference().pack_rows(table.packed, 0, 37, random_values(random, std::int64_t{37} * hidden, fill).data());
          const std::vector<std::int32_t> ids = {36, 0, 15, 16, 15, 1, 35};
          Tensor expected(act, 7, hidden, hidden + 3);
          reference().embed(table.packed, ids.data(), expected.view);
          on_every_backend([&](Ops& ops) {
            Tensor actual(act, 7, hidden, hidden + 3);
            ops.embed(table.packed, ids.data(), actual.view);
            EXPECT_EQ(difference(expected, actual), "") << describe(act, fill) << " hidden " << hidden;
            EXPECT_TRUE(actual.outside_intact(hidden));
          });
        }
      }
    }
  }
}

// ---- products ----

struct MatmulCase {
  DType act;
  DType weights;
  DType out;
  std::int64_t tokens, outputs, k;
  std::vector<std::int32_t> leaf_chunk;  // empty: one leaf
  bool bias;
  Fill fill;
};

void check_matmul(Random& random, const MatmulCase& c) {
  SCOPED_TRACE(std::string(dtype_name(c.act)) + " x " + dtype_name(c.weights) + " -> " + dtype_name(c.out) + " " +
               fill_name(c.fill) + " tokens " + std::to_string(c.tokens) + " outputs " + std::to_string(c.outputs) +
               " k " + std::to_string(c.k) + " leaves " + std::to_string(c.leaf_chunk.size()));
  const int leaves = c.leaf_chunk.empty() ? 1 : static_cast<int>(c.leaf_chunk.size()) - 1;
  const Matrix w(c.weights, c.outputs, c.k, leaves, c.leaf_chunk);
  reference().pack_rows(w.packed, 0, c.outputs, random_values(random, c.outputs * c.k, c.fill).data());
  Tensor x(c.act, c.tokens, c.k, c.k + random.below(40));  // what lies behind a row is NaN
  x.fill(random, c.fill);
  const std::vector<float> bias = random_values(random, c.outputs, c.fill == Fill::kSpecial ? Fill::kPlain : c.fill);
  const float* bias_data = c.bias ? bias.data() : nullptr;
  const std::int64_t stride = w.packed.outputs_padded() + random.below(3) * 16;
  Tensor expected(c.out, c.tokens, c.outputs, stride);
  reference().matmul(x.view, w.packed, bias_data, expected.view);
  on_every_backend([&](Ops& ops) {
    Tensor actual(c.out, c.tokens, c.outputs, stride);
    ops.matmul(x.view, w.packed, bias_data, actual.view);
    EXPECT_EQ(difference(expected, actual), "");
    EXPECT_TRUE(actual.outside_intact(w.packed.outputs_padded()));
  });
}

TEST(BackendEquality, MatmulOfEveryDtype) {
  Random random(3);
  for (const DType act : kActs) {
    for (const DType weights : {DType::kBF16, DType::kF16, DType::kF32}) {
      for (const DType out : kActs) {
        for (const Fill fill : kFills) {
          check_matmul(random, {act, weights, out, 5, 50, 100, {}, true, fill});
          check_matmul(random, {act, weights, out, 1, 33, 96, {0, 1, 3}, false, fill});
        }
      }
    }
  }
}

TEST(BackendEquality, MatmulOfOddShapes) {
  Random random(4);
  for (const std::int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 31, 33, 64, 65}) {
    for (const std::int64_t outputs : {1, 15, 16, 17, 32, 48, 80, 130}) {
      const std::int64_t k = std::vector<std::int64_t>{1, 2, 31, 32, 33, 64, 100, 257}[random.below(8)];
      check_matmul(random, {kActs[random.below(2)],
                            DType::kBF16,
                            kActs[random.below(2)],
                            tokens,
                            outputs,
                            k,
                            {},
                            random.below(2) == 0,
                            kFills[random.below(6)]});
    }
  }
}

// Every height of a tile and every number of tiles, K longer than a block and odd, an odd number of panels.
TEST(BackendEquality, MatmulOfEveryRowCount) {
  Random random(23);
  for (std::int64_t tokens = 1; tokens <= 80; tokens++) {
    for (const Fill fill : kFills) {
      if (tokens > 28 && fill != kFills[tokens % 6]) continue;
      check_matmul(random, {DType::kBF16, DType::kBF16, DType::kF32, tokens, 35, 291, {}, false, fill});
    }
  }
}

TEST(BackendEquality, MatmulOfLeaves) {
  Random random(5);
  for (const int leaves : {1, 2, 4, 8}) {
    for (int trial = 0; trial < 12; trial++) {
      std::vector<std::int32_t> borders = {0};
      for (int leaf = 0; leaf < leaves; leaf++) {
        borders.push_back(borders.back() + static_cast<std::int32_t>(random.below(4)));  // empty ones too
      }
      if (borders.back() == 0) borders.back() = 1;
      const std::int64_t k = borders.back() * kChunkK - random.below(32);
      const DType weights = std::vector<DType>{DType::kBF16, DType::kF16, DType::kF32}[random.below(3)];
      check_matmul(random, {kActs[random.below(2)], weights, DType::kF32, 1 + random.below(9), 1 + random.below(70), k,
                            borders, false, kFills[random.below(6)]});
    }
  }
}

// Long K with blocks of any size inside a kernel; many rows; both at once.
TEST(BackendEquality, MatmulOfModelShapes) {
  Random random(6);
  for (const std::int64_t tokens : {1, 3, 17}) {
    check_matmul(random, {DType::kBF16,
                          DType::kBF16,
                          DType::kF32,
                          tokens,
                          576,
                          1536,
                          {0, 6, 12, 18, 24, 30, 36, 42, 48},
                          false,
                          Fill::kPlain});
    check_matmul(random, {DType::kBF16, DType::kBF16, DType::kBF16, tokens, 96, 4128, {}, true, Fill::kCancelling});
    check_matmul(random, {DType::kBF16, DType::kF16, DType::kF32, tokens, 96, 2080, {}, false, Fill::kTiny});
    check_matmul(random, {DType::kF32, DType::kF32, DType::kF32, tokens, 96, 2080, {}, false, Fill::kPlain});
  }
  check_matmul(random, {DType::kBF16, DType::kBF16, DType::kBF16, 512, 64, 320, {}, false, Fill::kPlain});
  check_matmul(random, {DType::kF32, DType::kF32, DType::kF32, 130, 48, 320, {}, false, Fill::kPlain});
  // x beyond L2: panels take turns on K blocks, several blocks and leaves long, tasks go to any thread.
  for (const DType weights : {DType::kBF16, DType::kF16, DType::kF32}) {
    check_matmul(random, {DType::kBF16, weights, DType::kF32, 70, 330, 2080, {0, 20, 20, 65, 65}, true, Fill::kPlain});
  }
}

// P2: a row's result does not depend on the rows around it.
TEST(BackendEquality, MatmulRowAloneEqualsRowInABatch) {
  Random random(7);
  for (const DType dtype : kActs) {
    const Matrix w(dtype, 200, 416, 4);
    reference().pack_rows(w.packed, 0, 200, random_values(random, 200 * 416, Fill::kCancelling).data());
    Tensor x(dtype, 512, 416);
    x.fill(random, Fill::kPlain);
    on_every_backend([&](Ops& ops) {
      Tensor batch(DType::kF32, 512, 200, 208);
      ops.matmul(x.view, w.packed, nullptr, batch.view);
      for (const std::int64_t rows : {1, 2, 3, 5, 7, 12, 100}) {
        for (const std::int64_t row : {0, 1, 255, 411}) {
          Tensor part(DType::kF32, rows, 200, 208);
          ops.matmul(x.row_view(row, rows), w.packed, nullptr, part.view);
          for (std::int64_t r = 0; r < rows; r++) {
            for (std::int64_t n = 0; n < 200; n++) {
              ASSERT_TRUE(same_bits(part.at(r, n), batch.at(row + r, n))) << rows << " rows from " << row;
            }
          }
        }
      }
    });
  }
}

// ---- rows ----

TEST(BackendEquality, RmsNorm) {
  Random random(8);
  for (const DType act : kActs) {
    for (const Fill fill : kFills) {
      for (const std::int64_t hidden : {1, 7, 15, 16, 17, 31, 32, 48, 100, 576, 1000}) {
        Tensor x(act, 5, hidden, hidden + 5);
        x.fill(random, fill);
        const std::vector<float> weight = random_values(random, hidden);
        Tensor expected(act, 5, hidden, hidden + 2);
        reference().rms_norm(x.view, weight.data(), 1e-5F, expected.view);
        on_every_backend([&](Ops& ops) {
          Tensor actual(act, 5, hidden, hidden + 2);
          ops.rms_norm(x.view, weight.data(), 1e-5F, actual.view);
          EXPECT_EQ(difference(expected, actual), "") << describe(act, fill) << " hidden " << hidden;
          EXPECT_TRUE(actual.outside_intact(hidden));
        });
      }
    }
  }
}

TEST(BackendEquality, AddPartials) {
  Random random(9);
  for (const DType act : kActs) {
    for (const Fill fill : kFills) {
      for (const std::int64_t hidden : {1, 15, 16, 17, 33, 576}) {
        for (const int count : {1, 2, 4, 8}) {
          std::vector<std::vector<float>> memory;
          std::vector<const float*> partials;
          for (int rank = 0; rank < count; rank++) {
            memory.push_back(random_values(random, 3 * (hidden + 4), fill));
            partials.push_back(rank > 0 && random.below(3) == 0 ? nullptr : memory.back().data());
          }
          const std::vector<float> bias = random_values(random, hidden);
          const float* bias_data = random.below(2) == 0 ? bias.data() : nullptr;
          Tensor start(act, 3, hidden, hidden + 1);
          start.fill(random, fill);
          Tensor expected(act, 3, hidden, hidden + 1);
          expected.copy_from(start);
          reference().add_partials(expected.view, {partials.data(), count, hidden + 4, bias_data});
          on_every_backend([&](Ops& ops) {
            Tensor actual(act, 3, hidden, hidden + 1);
            actual.copy_from(start);
            ops.add_partials(actual.view, {partials.data(), count, hidden + 4, bias_data});
            EXPECT_EQ(difference(expected, actual), "") << describe(act, fill) << " x " << hidden << " of " << count;
            EXPECT_TRUE(actual.outside_intact(hidden));
          });
        }
      }
    }
  }
}

TEST(BackendEquality, Rope) {
  Random random(10);
  for (const DType act : kActs) {
    for (const Fill fill : kFills) {
      for (const std::int32_t head_dim : {2, 6, 16, 32, 48, 64, 80, 128}) {
        const std::int32_t heads = 3;
        const std::vector<float> table = random_values(random, std::int64_t{50} * head_dim);
        const std::vector<std::int32_t> positions = {0, 49, 7, 7};
        Tensor start(act, 4, std::int64_t{heads} * head_dim, std::int64_t{heads} * head_dim + 8);
        start.fill(random, fill);
        Tensor expected(act, 4, start.view.cols, start.view.row_stride);
        expected.copy_from(start);
        reference().rope(expected.view, heads, head_dim, positions.data(), table.data());
        on_every_backend([&](Ops& ops) {
          Tensor actual(act, 4, start.view.cols, start.view.row_stride);
          actual.copy_from(start);
          ops.rope(actual.view, heads, head_dim, positions.data(), table.data());
          EXPECT_EQ(difference(expected, actual), "") << describe(act, fill) << " head_dim " << head_dim;
          EXPECT_TRUE(actual.outside_intact(start.view.cols));
        });
      }
    }
  }
}

TEST(BackendEquality, SiluMul) {
  Random random(11);
  for (const DType act : kActs) {
    for (const Fill fill : kFills) {
      for (const std::int64_t width : {1, 15, 16, 17, 33, 100, 1000}) {
        const std::int64_t up_offset = width + random.below(20);
        Tensor gate_up(act, 4, up_offset + width, up_offset + width + 3);
        gate_up.fill(random, fill);
        for (std::int64_t c = 0; c < width; c++) {  // gates all over the range of exp
          if (c % 2 == 0) gate_up.set(1, c, random.uniform() * 100.0F);
        }
        Tensor expected(act, 4, width, width + 5);
        reference().silu_mul(gate_up.view, up_offset, expected.view);
        on_every_backend([&](Ops& ops) {
          Tensor actual(act, 4, width, width + 5);
          ops.silu_mul(gate_up.view, up_offset, actual.view);
          EXPECT_EQ(difference(expected, actual), "") << describe(act, fill) << " width " << width;
          EXPECT_TRUE(actual.outside_intact(width));
        });
      }
    }
  }
}

TEST(BackendEquality, GatherRows) {
  Random random(12);
  for (const DType act : kActs) {
    for (const std::int64_t cols : {1, 16, 33, 576}) {
      Tensor x(act, 9, cols, cols + 2);
      x.fill(random, Fill::kTiny);
      const std::vector<std::int32_t> rows = {8, 0, 3, 3};
      Tensor expected(act, 4, cols, cols + 1);
      reference().gather_rows(x.view, rows.data(), expected.view);
      on_every_backend([&](Ops& ops) {
        Tensor actual(act, 4, cols, cols + 1);
        ops.gather_rows(x.view, rows.data(), actual.view);
        EXPECT_EQ(difference(expected, actual), "");
        EXPECT_TRUE(actual.outside_intact(cols));
      });
    }
  }
}

// ---- attention ----

// A pool with sequences in it. Blocks are scattered; what no token was written to is poison (NaN).
struct Cache {
  Cache(Random& random, DType dtype, int block_size, int kv_heads, int head_dim, const std::vector<int>& contexts,
        Fill fill) {
    kv.layout = {dtype, block_size, kv_heads, head_dim};
    stride = 1;
    for (const int context : contexts) {
      stride = std::max<std::int64_t>(stride, (context + block_size - 1) / block_size + 1);
      kv.blocks += (context + block_size - 1) / block_size;
    }
    std::vector<std::uint32_t> free;
    for (std::int64_t b = 0; b < kv.blocks; b++) free.push_back(static_cast<std::uint32_t>(b));
    for (std::size_t i = free.size(); i > 1; i--) {
      std::swap(free[i - 1], free[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
    }
    memory = std::make_unique<Memory>(static_cast<std::size_t>(kv.blocks * kv.layout.bytes_per_block()));
    kv.data = memory->data();
    block_tables.assign(contexts.size() * static_cast<std::size_t>(stride), 0xffffffffU);
    for (std::size_t s = 0; s <= contexts.size(); s++)
      block_table_begin.push_back(static_cast<std::int32_t>(s * static_cast<std::size_t>(stride)));
    std::size_t next = 0;
    for (std::size_t s = 0; s < contexts.size(); s++) {
      std::uint32_t* table = block_tables.data() + s * static_cast<std::size_t>(stride);
      std::vector<std::int64_t> slots;
      for (int position = 0; position < contexts[s]; position++) {
        if (position % block_size == 0) table[position / block_size] = free[next++];
        slots.push_back(std::int64_t{table[position / block_size]} * block_size + position % block_size);
      }
      Tensor k(dtype, contexts[s], std::int64_t{kv_heads} * head_dim);
      Tensor v(dtype, contexts[s], std::int64_t{kv_heads} * head_dim);
      k.fill(random, fill);
      v.fill(random, fill);
      reference().write_kv(k.view, v.view, slots.data(), kv);
    }
  }
  KvView kv;
  std::int64_t stride = 0;
  std::vector<std::uint32_t> block_tables;
  std::vector<std::int32_t> block_table_begin;
  std::unique_ptr<Memory> memory;
};

TEST(BackendEquality, WriteKv) {
  Random random(13);
  for (const DType act : kActs) {
    for (const int head_dim : {2, 20, 32, 48, 64, 80, 128}) {
      for (const int block_size : {16, 32, 64}) {
        for (const Fill fill : {Fill::kPlain, Fill::kTiny, Fill::kZeros}) {
          KvView kv;
          kv.layout = {act, block_size, 3, head_dim};
          kv.blocks = 4;
          std::vector<std::int64_t> slots;
          for (int i = 0; i < 21; i++) slots.push_back((i * 37) % (4 * block_size));  // distinct: 37 is odd
          std::sort(slots.begin(), slots.end());
          slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
          std::reverse(slots.begin() + 2, slots.end());
          const auto tokens = static_cast<std::int64_t>(slots.size());
          Tensor k(act, tokens, 3 * head_dim, 3 * head_dim + 4);
          Tensor v(act, tokens, 3 * head_dim, 3 * head_dim + 6);
          k.fill(random, fill);
          v.fill(random, fill);
          const Memory expected(static_cast<std::size_t>(kv.blocks * kv.layout.bytes_per_block()));
          kv.data = expected.data();
          reference().write_kv(k.view, v.view, slots.data(), kv);
          on_every_backend([&](Ops& ops) {
            const Memory actual(expected.bytes());
            kv.data = actual.data();
            ops.write_kv(k.view, v.view, slots.data(), kv);
            ASSERT_EQ(std::memcmp(expected.data(), actual.data(), expected.bytes()), 0)
                << describe(act, fill) << " head_dim " << head_dim << " block " << block_size;
            EXPECT_TRUE(actual.border_intact());
          });
        }
      }
    }
  }
}

struct Ragged {
  std::vector<int> contexts;
  std::vector<int> queries;
};

void check_attention(Random& random, DType act, int block_size, int head_dim, const Ragged& ragged,
                     const std::vector<std::int32_t>& kv_head_of_query, Fill fill) {
  const int kv_heads = *std::max_element(kv_head_of_query.begin(), kv_head_of_query.end()) + 1;
  const Cache cache(random, act, block_size, kv_heads, head_dim, ragged.contexts, fill);
  AttentionBatch batch;
  std::vector<std::int32_t> query_begin = {0};
  for (const int queries : ragged.queries) query_begin.push_back(query_begin.back() + queries);
  batch.sequences = static_cast<std::int32_t>(ragged.contexts.size());
  batch.query_begin = query_begin.data();
  batch.context_length = ragged.contexts.data();
  batch.block_tables = cache.block_tables.data();
  batch.block_table_begin = cache.block_table_begin.data();
  batch.query_heads = static_cast<std::int32_t>(kv_head_of_query.size());
  batch.kv_head_of_query = kv_head_of_query.data();
  batch.scale = 0.37F;
  const std::int64_t cols = std::int64_t{batch.query_heads} * head_dim;
  Tensor q(act, query_begin.back(), cols, cols + 7);
  q.fill(random, fill == Fill::kHuge ? Fill::kPlain : fill);
  Tensor expected(act, q.view.rows, cols, cols + 3);
  reference().attention(q.view, cache.kv, batch, expected.view);
  on_every_backend([&](Ops& ops) {
    Tensor actual(act, q.view.rows, cols, cols + 3);
    ops.attention(q.view, cache.kv, batch, actual.view);
    EXPECT_EQ(difference(expected, actual), "")
        << describe(act, fill) << " head_dim " << head_dim << " block " << block_size;
    EXPECT_TRUE(actual.outside_intact(cols));
  });
}

TEST(BackendEquality, AttentionOfRaggedBatches) {
  Random random(14);
  const Ragged decode{{1, 2, 15, 16, 17, 31, 32, 33, 63, 65, 200}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
  const Ragged mixed{{1, 40, 33, 70, 64}, {1, 40, 5, 0, 1}};
  for (const DType act : kActs) {
    for (const int head_dim : {32, 48, 64, 80, 128}) {
      for (const int block_size : {16, 32, 64}) {
        const std::vector<std::int32_t> irregular = {0, 0, 2, 1, 2};
        check_attention(random, act, block_size, head_dim, decode, irregular, Fill::kPlain);
        check_attention(random, act, block_size, head_dim, mixed, irregular, Fill::kPlain);
      }
    }
  }
}

TEST(BackendEquality, AttentionOfNastyValues) {
  Random random(15);
  const Ragged ragged{{45, 20, 600}, {13, 20, 2}};
  for (const DType act : kActs) {
    for (const Fill fill : kFills) {
      for (const int head_dim : {32, 80}) {
        check_attention(random, act, 16, head_dim, ragged, {1, 0, 1}, fill);
      }
    }
  }
}

TEST(BackendEquality, AttentionAcrossPartitions) {
  Random random(16);
  const Ragged ragged{{511, 512, 513, 1024, 1025, 1600}, {1, 2, 3, 1, 9, 4}};
  for (const DType act : kActs) {
    check_attention(random, act, 32, 64, ragged, {0, 0, 0, 0}, Fill::kPlain);
    check_attention(random, act, 64, 48, ragged, {0}, Fill::kCancelling);
    check_attention(random, act, 128, 32, ragged, {1, 1, 1, 0, 0, 0}, Fill::kTiny);
    check_attention(random, act, 512, 16, ragged, {0, 1}, Fill::kZeros);
  }
}

TEST(BackendEquality, AttentionOfGroupedHeads) {
  Random random(17);
  const Ragged ragged{{100, 37}, {1, 37}};
  for (const std::vector<std::int32_t>& map : std::vector<std::vector<std::int32_t>>{
           {0}, {0, 1, 2, 3}, {0, 0, 0, 1, 1, 1, 2, 2, 2}, {2, 2, 0, 1, 1}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}) {
    for (const DType act : kActs) check_attention(random, act, 16, 64, ragged, map, Fill::kPlain);
  }
}

// Where rule 4's zeros show: a sum that flushes to -0, then chunks of zeros. P = 1 at positions below 64, ½ from 64 on.
//   context 33: chunk 0 gives 1.5 · 2^-126, chunk 1 -1.625 · 2^-126; their sum is flushed to -0, and nothing more is
//               added (the chunks up to 512 hold no visible key): -0
//   context 66: in chunk 2 both chains are flushed to -0 by ½ · -2^-126; then the 30 invisible positions take part as
//               fma(0, 0, -0) = +0, so the chunk is +0 and -0 + +0 = +0
// The reference must give these, the others its bits.
TEST(BackendEquality, AttentionKeepsTheSignsOfZeros) {
  constexpr int kContext = 66;
  for (const DType act : kActs) {
    KvView kv;
    kv.layout = {act, 16, 1, 16};
    kv.blocks = 5;
    const Memory memory(static_cast<std::size_t>(kv.blocks * kv.layout.bytes_per_block()));
    kv.data = memory.data();
    Tensor k(act, kContext, 16);
    Tensor v(act, kContext, 16);
    std::vector<std::int64_t> slots;
    for (int p = 0; p < kContext; p++) {
      slots.push_back(p);
      for (int d = 0; d < 16; d++) {
        k.set(p, d, d == 0 && p >= 64 ? -0.6931471806F : 0.0F);
        v.set(p, d, p == 0 ? 0x1.8p-126F : p == 32 ? -0x1.ap-126F : p >= 64 ? -0x1p-126F : 0.0F);
      }
    }
    reference().write_kv(k.view, v.view, slots.data(), kv);
    Tensor q(act, 1, 16);
    for (int d = 0; d < 16; d++) q.set(0, d, 1.0F);
    const std::uint32_t table[] = {0, 1, 2, 3, 4};
    const std::int32_t query_begin[] = {0, 1}, table_begin[] = {0, 5};
    const std::int32_t map = 0;
    for (const std::int32_t context : {33, 66}) {
      const AttentionBatch batch{1, query_begin, &context, table, table_begin, 1, &map, 1, 1.0F, {}};
      const auto expect_zeros = [&](Ops& ops) {
        Tensor out(act, 1, 16);
        ops.attention(q.view, kv, batch, out.view);
        for (int d = 0; d < 16; d++) {
          EXPECT_TRUE(same_bits(out.at(0, d), context == 33 ? -0.0F : 0.0F))
              << ops.name() << " " << dtype_name(act) << " context " << context << ": " << out.at(0, d);
        }
      };
      expect_zeros(reference());
      on_every_backend(expect_zeros);
    }
  }
}

// P2: prefill in one piece, in chunks, or one token a step.
TEST(BackendEquality, AttentionDoesNotDependOnChunks) {
  Random random(18);
  constexpr int kContext = 600;
  constexpr int kHeadDim = 64;
  const std::vector<std::int32_t> map = {0, 0, 1};
  const std::vector<std::int32_t> context = {kContext};
  for (const DType act : kActs) {
    const Cache cache(random, act, 16, 2, kHeadDim, {kContext}, Fill::kPlain);
    Tensor q(act, kContext, 3 * kHeadDim);
    q.fill(random, Fill::kPlain);
    const auto attend = [&](Ops& ops, std::int32_t begin, std::int32_t end) {
      const std::vector<std::int32_t> query_begin = {0, end - begin};
      AttentionBatch batch;
      batch.sequences = 1;
      batch.query_begin = query_begin.data();
      batch.context_length = &end;
      batch.block_tables = cache.block_tables.data();
      batch.block_table_begin = cache.block_table_begin.data();
      batch.query_heads = 3;
      batch.kv_head_of_query = map.data();
      batch.scale = 0.125F;
      Tensor out(act, end - begin, 3 * kHeadDim);
      ops.attention(q.row_view(begin, end - begin), cache.kv, batch, out.view);
      return out;
    };
    on_every_backend([&](Ops& ops) {
      const Tensor whole = attend(ops, 0, kContext);
      for (const std::pair<int, int>& chunk : std::vector<std::pair<int, int>>{
               {0, 1}, {0, 37}, {31, 32}, {511, 512}, {512, 513}, {500, 530}, {599, 600}}) {
        const Tensor part = attend(ops, chunk.first, chunk.second);
        for (std::int64_t r = 0; r < part.view.rows; r++) {
          for (std::int64_t c = 0; c < part.view.cols; c++) {
            ASSERT_TRUE(same_bits(part.at(r, c), whole.at(chunk.first + r, c))) << chunk.first << " + " << r;
          }
        }
      }
    });
  }
}

// ---- logits ----

// Logits as a head gives them, with ties, -inf and what the kind adds.
Tensor random_logits(Random& random, std::int64_t rows, std::int64_t cols, Fill fill) {
  Tensor logits(DType::kF32, rows, cols, cols + 5);
  for (std::int64_t r = 0; r < rows; r++) {
    for (std::int64_t c = 0; c < cols; c++) {
      float value = random_value(random, fill) * (fill == Fill::kHuge ? 0x1p-50F : 5.0F);
      if (random.below(5) == 0) value = static_cast<float>(random.below(5));
      if (random.below(9) == 0) value = kNegativeInf;
      if (fill == Fill::kSpecial && value != value && r != 0) value = 0.0F;  // NaN in row 0 only
      logits.set(r, c, value);
    }
  }
  return logits;
}

TEST(BackendEquality, LeafMaxSum) {
  Random random(19);
  for (const Fill fill : kFills) {
    Tensor logits = random_logits(random, 4, 1000, fill);
    for (std::int64_t c = 0; c < 1000; c++) logits.set(3, c, c < 500 ? kNegativeInf : -0.0F);
    for (const auto& [begin, end] : std::vector<std::pair<int, int>>{
             {0, 1000}, {0, 0}, {16, 17}, {16, 31}, {32, 48}, {480, 999}, {496, 500}, {992, 1000}, {992, 992}}) {
      MaxSum expected[4];
      reference().leaf_max_sum(logits.view, begin, end, expected);
      on_every_backend([&](Ops& ops) {
        MaxSum actual[4];
        ops.leaf_max_sum(logits.view, begin, end, actual);
        for (int row = 0; row < 4; row++) {
          EXPECT_TRUE(same_bits(expected[row].max, actual[row].max) && same_bits(expected[row].sum, actual[row].sum))
              << fill_name(fill) << " [" << begin << ", " << end << ") row " << row << ": expected "
              << expected[row].max << ", " << expected[row].sum << " got " << actual[row].max << ", "
              << actual[row].sum;
        }
      });
    }
  }
}

void expect_same(const Candidate& expected, const Candidate& actual, const std::string& what) {
  EXPECT_TRUE(expected.id == actual.id && same_bits(expected.score, actual.score) &&
              same_bits(expected.logit, actual.logit))
      << what << ": expected " << expected.id << " " << expected.score << " " << expected.logit << ", got " << actual.id
      << " " << actual.score << " " << actual.logit;
}

TEST(BackendEquality, Draw) {
  Random random(20);
  for (const Fill fill : kFills) {
    for (const std::int64_t cols : {0, 1, 3, 4, 15, 16, 17, 63, 64, 65, 1000, 4099}) {
      const Tensor logits = random_logits(random, 3, std::max<std::int64_t>(cols, 1), fill);
      for (int trial = 0; trial < 12; trial++) {
        const auto* row = reinterpret_cast<const float*>(logits.row_view(trial % 3, 1).data);
        const DrawKey key{random.next(), static_cast<std::uint32_t>(random.below(4)),
                          static_cast<std::uint32_t>(random.below(1000)), kDrawPurposeSample};
        const float temperature = std::vector<float>{0.0F, 1.0F, 0.7F, 1e-5F, 100.0F, -1.0F}[random.below(6)];
        const float floor = std::vector<float>{kNegativeInf, 0.0F, 1.5F, 1e9F}[random.below(4)];
        const auto id_base = static_cast<std::int32_t>(std::vector<int>{0, 1, 4, 64000, 128254}[random.below(5)]);
        Candidate expected;
        reference().draw(row, cols, id_base, temperature, floor, key, &expected);
        on_every_backend([&](Ops& ops) {
          Candidate actual;
          ops.draw(row, cols, id_base, temperature, floor, key, &actual);
          expect_same(expected, actual,
                      std::string(fill_name(fill)) + " cols " + std::to_string(cols) + " temperature " +
                          std::to_string(temperature) + " floor " + std::to_string(floor) + " base " +
                          std::to_string(id_base));
        });
      }
    }
  }
}

TEST(BackendEquality, DrawOverAWholeVocabulary) {
  Random random(21);
  constexpr std::int64_t kVocabulary = 300000;  // split between threads in every pass
  Tensor logits(DType::kF32, 1, kVocabulary);
  logits.fill(random, Fill::kPlain);
  for (std::uint32_t step = 0; step < 8; step++) {
    const DrawKey key{123456789, 0, step, kDrawPurposeSample};
    Candidate expected;
    reference().draw(static_cast<const float*>(logits.view.data), kVocabulary, 0, 1.0F, kNegativeInf, key, &expected);
    on_every_backend([&](Ops& ops) {
      Candidate actual;
      ops.draw(static_cast<const float*>(logits.view.data), kVocabulary, 0, 1.0F, kNegativeInf, key, &actual);
      expect_same(expected, actual, "step " + std::to_string(step));
    });
  }
}

TEST(BackendEquality, TopK) {
  Random random(22);
  for (const Fill fill : kFills) {
    for (const std::int64_t cols : {0, 1, 15, 16, 17, 100, 1000}) {
      const Tensor logits = random_logits(random, 3, std::max<std::int64_t>(cols, 1), fill);
      for (const std::int32_t k : {1, 2, 5, 20, 64}) {
        for (int r = 0; r < 3; r++) {
          const auto* row = reinterpret_cast<const float*>(logits.row_view(r, 1).data);
          std::vector<Candidate> expected(static_cast<std::size_t>(k));
          reference().top_k(row, cols, 100, k, expected.data());
          on_every_backend([&](Ops& ops) {
            std::vector<Candidate> actual(static_cast<std::size_t>(k));
            ops.top_k(row, cols, 100, k, actual.data());
            for (std::size_t i = 0; i < actual.size(); i++) {
              expect_same(
                  expected[i], actual[i],
                  std::string(fill_name(fill)) + " cols " + std::to_string(cols) + " place " + std::to_string(i));
            }
          });
        }
      }
    }
  }
}

}  // namespace
}  // namespace herd
