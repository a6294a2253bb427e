#include "runtime/shard/step_inputs.h"

#include <algorithm>
#include <string>

#include "kernels/plans/attention_work.h"

namespace herd::shard {

StepInputs::Layout StepInputs::lay_out(const StepInputLimits& limits) {
  Layout layout{};
  std::size_t end = 0;
  const auto array = [&end](std::int64_t count, std::size_t element) {
    const std::size_t begin = end;
    end = (end + static_cast<std::size_t>(count) * element + 63) / 64 * 64;
    return begin;
  };
  layout.token_ids = array(limits.rows, sizeof(std::int32_t));
  layout.positions = array(limits.rows, sizeof(std::int32_t));
  layout.slots = array(limits.rows, sizeof(std::int64_t));
  layout.query_begin = array(limits.sequences + 1, sizeof(std::int32_t));
  layout.context_length = array(limits.sequences, sizeof(std::int32_t));
  layout.table_begin = array(limits.sequences + 1, sizeof(std::int32_t));
  layout.split_begin = array(limits.sequences + 1, sizeof(std::int32_t));
  layout.tile_begin = array(limits.sequences + 1, sizeof(std::int32_t));
  layout.sample_rows = array(limits.sequences, sizeof(std::int32_t));
  layout.tables = array(limits.table_entries, sizeof(std::uint32_t));
  layout.end = end;
  return layout;
}

Expected<std::unique_ptr<StepInputs>> StepInputs::make(Device& device, const StepInputLimits& limits) {
  const Layout layout = lay_out(limits);
  auto memory = allocate_staged(device, layout.end, "step inputs");
  if (!memory) return fail(memory.error());
  return std::unique_ptr<StepInputs>(new StepInputs(limits, layout, std::move(*memory)));
}

Status StepInputs::check(const StepBatch& batch) const {
  const auto refuse = [](const char* what, std::size_t count, std::int64_t most) -> Status {
    return {StatusCode::kInternal, "step plan: " + std::to_string(count) + " " + what + ", at most " +
                                       std::to_string(most) + " fit a step"};
  };
  if (static_cast<std::int64_t>(batch.token_ids.size()) > limits_.rows)
    return refuse("rows", batch.token_ids.size(), limits_.rows);
  if (static_cast<std::int64_t>(batch.context_length.size()) > limits_.sequences)
    return refuse("sequences", batch.context_length.size(), limits_.sequences);
  if (static_cast<std::int64_t>(batch.block_tables.size()) > limits_.table_entries)
    return refuse("blocks", batch.block_tables.size(), limits_.table_entries);
  return {};
}

model::StepRows StepInputs::place(const StepBatch& batch, std::int64_t rows, std::int32_t group_max) {
  const auto batch_rows = static_cast<std::int64_t>(batch.token_ids.size());
  const auto fill = static_cast<std::size_t>(std::max<std::int64_t>(rows - batch_rows, 0));
  const std::size_t sequences = batch.context_length.size() + fill;
  auto* const base = static_cast<std::byte*>(memory_->host());
  const auto at = [base]<class T>(std::size_t offset, T) { return reinterpret_cast<T*>(base + offset); };

  std::fill_n(std::copy(batch.token_ids.begin(), batch.token_ids.end(), at(layout_.token_ids, std::int32_t{})), fill, 0);
  std::fill_n(std::copy(batch.positions.begin(), batch.positions.end(), at(layout_.positions, std::int32_t{})), fill, 0);
  std::fill_n(std::copy(batch.slots.begin(), batch.slots.end(), at(layout_.slots, std::int64_t{})), fill, -1);
  auto* const query_begin = at(layout_.query_begin, std::int32_t{});
  auto* const query_end = std::copy(batch.query_begin.begin(), batch.query_begin.end(), query_begin);
  for (std::size_t i = 0; i < fill; ++i) query_end[i] = static_cast<std::int32_t>(batch_rows + 1 + static_cast<std::int64_t>(i));
  auto* const context = at(layout_.context_length, std::int32_t{});
  std::fill_n(std::copy(batch.context_length.begin(), batch.context_length.end(), context), fill, 0);
  std::fill_n(std::copy(batch.block_table_begin.begin(), batch.block_table_begin.end(),
                        at(layout_.table_begin, std::int32_t{})),
              fill, static_cast<std::int32_t>(batch.block_tables.size()));
  std::fill_n(std::copy(batch.sample_row.begin(), batch.sample_row.end(), at(layout_.sample_rows, std::int32_t{})), fill, 0);
  std::copy(batch.block_tables.begin(), batch.block_tables.end(), at(layout_.tables, std::uint32_t{}));
  const bool tiles = cuda::cut_attention(query_begin, context, static_cast<std::int32_t>(sequences), group_max,
                                         at(layout_.split_begin, std::int32_t{}), at(layout_.tile_begin, std::int32_t{}));
  memory_->upload(layout_.tables + batch.block_tables.size() * sizeof(std::uint32_t));

  model::StepRows placed;
  placed.rows = batch_rows + static_cast<std::int64_t>(fill);
  placed.token_ids = token_ids();
  placed.positions = on_device<std::int32_t>(layout_.positions);
  placed.slots = on_device<std::int64_t>(layout_.slots);
  placed.attention.sequences = static_cast<std::int32_t>(sequences);
  placed.attention.query_begin = on_device<std::int32_t>(layout_.query_begin);
  placed.attention.context_length = on_device<std::int32_t>(layout_.context_length);
  placed.attention.block_tables = on_device<std::uint32_t>(layout_.tables);
  placed.attention.block_table_begin = on_device<std::int32_t>(layout_.table_begin);
  placed.attention.work = {on_device<std::int32_t>(layout_.split_begin), on_device<std::int32_t>(layout_.tile_begin), tiles};
  return placed;
}

std::int32_t* StepInputs::token_ids() const { return on_device<std::int32_t>(layout_.token_ids); }
const std::int32_t* StepInputs::sample_rows() const { return on_device<std::int32_t>(layout_.sample_rows); }

}  // namespace herd::shard
