// cuda_bench attention: paged attention of even and skewed decode batches, and of prefills.

#include "tests/bench/cuda_bench_shapes.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/plans/attention_work.h"

namespace herd::bench {

Batch make_batch(Harness& harness, const Shape& shape, const std::vector<std::int32_t>& contexts,
                 std::int32_t query_rows, std::int64_t spread) {
  constexpr std::int32_t kBlock = 16;
  Batch batch;
  std::vector<std::int32_t> query_begin{0}, table_begin{0};
  std::vector<std::uint32_t> tables;
  for (const std::int32_t context : contexts) {
    const auto first = static_cast<std::int64_t>(tables.size());
    for (std::int32_t at = 0; at < context; at += kBlock) tables.push_back(static_cast<std::uint32_t>(tables.size()));
    query_begin.push_back(query_begin.back() + query_rows);
    table_begin.push_back(static_cast<std::int32_t>(tables.size()));
    batch.kv_tokens += context;
    for (std::int32_t position = context - query_rows; position < context; position++) {
      batch.scores += position + 1;
      batch.positions.push_back(position);
      batch.slots.push_back((first + position / kBlock) * kBlock + position % kBlock);  // as if not scattered
    }
  }
  if (static_cast<std::int64_t>(tables.size()) > spread) stop(missing("the benchmark's contexts need more KV memory"));
  std::vector<std::uint32_t> order(static_cast<std::size_t>(spread));
  for (std::size_t i = 0; i < order.size(); i++) order[i] = static_cast<std::uint32_t>(i);
  std::uint64_t state = 1;
  for (std::size_t i = order.size(); i > 1; i--) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    std::swap(order[i - 1], order[(state >> 33) % i]);
  }
  for (std::uint32_t& block : tables) block = order[block];
  for (std::int64_t& slot : batch.slots)
    slot = std::int64_t{order[static_cast<std::size_t>(slot / kBlock)]} * kBlock + slot % kBlock;

  const std::int32_t group = shape.query_heads / shape.kv_heads;
  std::vector<std::int32_t> kv_head(static_cast<std::size_t>(shape.query_heads));
  for (std::size_t head = 0; head < kv_head.size(); head++) kv_head[head] = static_cast<std::int32_t>(head) / group;
  std::vector<std::int32_t> split(contexts.size() + 1), tile(contexts.size() + 1);
  AttentionBatch& attention = batch.attention;
  attention.sequences = static_cast<std::int32_t>(contexts.size());
  attention.work.tiles = cuda::cut_attention(query_begin.data(), contexts.data(), attention.sequences, group,
                                             split.data(), tile.data());
  attention.query_begin = harness.copy(query_begin);
  attention.context_length = harness.copy(contexts);
  attention.block_tables = harness.copy(tables);
  attention.block_table_begin = harness.copy(table_begin);
  attention.kv_head_of_query = harness.copy(kv_head);
  attention.work.split_begin = harness.copy(split);
  attention.work.tile_begin = harness.copy(tile);
  attention.query_heads = shape.query_heads;
  attention.group_max = group;
  attention.scale = 1.0F / 16.0F;
  batch.rows = query_begin.back();
  return batch;
}

KvView kv_view(const Shape& shape, void* data, std::int64_t bytes) {
  KvView kv;
  kv.data = data;
  kv.layout = {DType::kBF16, 16, shape.kv_heads, shape.head_dim};
  kv.blocks = bytes / kv.layout.bytes_per_block();
  return kv;
}

const float* rope_table(Harness& harness, const Shape& shape, std::int64_t positions) {
  const std::int64_t half = shape.head_dim / 2;
  std::vector<float> values;
  for (std::int64_t position = 0; position < positions; position++) {
    for (const bool sine : {false, true}) {
      for (std::int64_t i = 0; i < half; i++) {
        const double angle = static_cast<double>(position) * std::pow(500000.0, -static_cast<double>(i) / half);
        values.push_back(static_cast<float>(sine ? std::sin(angle) : std::cos(angle)));
      }
    }
  }
  return harness.copy(values);
}

namespace {

Row bench_batch(Harness& harness, const Shape& shape, const std::string& what,
                const std::vector<std::int32_t>& contexts, std::int32_t query_rows) {
  // As many parts of the pool in turn as leave the caches, if they are large enough.
  KvView kv = kv_view(shape, harness.kv().data(), harness.kv().bytes());
  std::int64_t used = 0;
  for (const std::int32_t context : contexts) used += (context + 15) / 16;
  const double used_bytes = static_cast<double>(used * kv.layout.bytes_per_block());
  const std::int64_t parts = std::clamp<std::int64_t>(kv.blocks / used, 1, harness.rotation(used_bytes));
  kv.blocks /= parts;
  const Batch batch = make_batch(harness, shape, contexts, query_rows, kv.blocks);
  const std::int64_t width = std::int64_t{shape.query_heads} * shape.head_dim;
  const TensorView q = harness.input(DType::kBF16, batch.rows, width);
  const TensorView out = harness.output(DType::kBF16, batch.rows, width);
  Row row;
  row.part = "attention";
  row.what = text("%-5s %s", shape.name, what.c_str());
  row.bytes = batch.kv_tokens * 4.0 * shape.kv_heads * shape.head_dim + bytes_of(q) + bytes_of(out);
  row.flops = 4.0 * batch.scores * static_cast<double>(width);
  row.time = harness.time(harness.device(), static_cast<int>(parts), [&](int i) {
    KvView part = kv;
    part.data = static_cast<std::byte*>(kv.data) + i * kv.blocks * kv.layout.bytes_per_block();
    harness.device().ops().attention(q, part, batch.attention, out);
  });
  harness.add(row);
  return row;
}

}  // namespace

void bench_attention(Harness& harness) {
  if (harness.options().tiny) {
    bench_batch(harness, kTiny, "decode, 1 x 1100 + 3 x 20", {1100, 20, 20, 20}, 1);
    bench_batch(harness, kTiny, "prefill of 40, context 600", {600}, 40);
    return;
  }
  // The same KV bytes and the same number of rows, evenly and as uneven as it comes: 128k + 31 * 4k = 32 * 8064.
  std::vector<std::int32_t> skewed(32, 4096);
  skewed[0] = 131072;
  const Row shorter = bench_batch(harness, k8B, "decode, 64 x 4k", std::vector<std::int32_t>(64, 4096), 1);
  const Row even = bench_batch(harness, k8B, "decode, 32 x 8064", std::vector<std::int32_t>(32, 8064), 1);
  const Row uneven = bench_batch(harness, k8B, "decode, 1 x 128k + 31 x 4k", skewed, 1);
  harness.add_share("decode attention 8B, 64 x 4k: of the read bandwidth", shorter, 0.70);
  harness.add_share("decode attention 8B, 1 x 128k + 31 x 4k: of the read bandwidth", uneven, 0.70);
  harness.add(Bar{"... time over that of 32 x 8064, the same bytes", uneven.time.median_s / even.time.median_s, 1.25,
                  true, true, {}});
  bench_batch(harness, k8B, "prefill of 4096, context 4096", {4096}, 4096);
  bench_batch(harness, k8B, "prefill of 512, context 8192", {8192}, 512);
  if (harness.options().quick) return;
  bench_batch(harness, k8B, "decode, 1 x 512", {512}, 1);
  bench_batch(harness, k8B, "decode, 256 x 1k", std::vector<std::int32_t>(256, 1024), 1);
  bench_batch(harness, k1B, "decode, 64 x 4k", std::vector<std::int32_t>(64, 4096), 1);
  bench_batch(harness, k1B, "prefill of 4096, context 4096", {4096}, 4096);
  bench_batch(harness, k70B, "decode, 64 x 4k", std::vector<std::int32_t>(64, 4096), 1);
  bench_batch(harness, k70B, "prefill of 4096, context 4096", {4096}, 4096);
}

}  // namespace herd::bench
