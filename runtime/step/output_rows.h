#pragma once
// Each asked-for row goes out once: rows computed again after a preemption or a failover are dropped. Pure; the
// scheduler does it for what it sent, the ledger for what a client got.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/step/step_plan.h"

namespace herd::step {

inline std::uint32_t end_position(const OutputRows& rows) { return rows.position + rows.rows; }
inline std::uint32_t end_position(const PromptLogprobs& chunk) {
  return chunk.position + static_cast<std::uint32_t>(chunk.tokens.size());
}

// Drops what lies at positions below `first`, perhaps everything. values is [layers, rows, width].
inline void drop_before(OutputRows& rows, std::uint32_t first) {
  if (rows.position >= first) return;
  const std::uint32_t dropped = std::min(first - rows.position, rows.rows);
  std::vector<float> kept;
  kept.reserve(std::size_t{rows.layers} * (rows.rows - dropped) * rows.width);
  for (std::size_t layer = 0; layer < rows.layers; ++layer) {
    const auto at = [&](std::uint32_t row) {
      return rows.values.begin() + static_cast<std::ptrdiff_t>((layer * rows.rows + row) * rows.width);
    };
    kept.insert(kept.end(), at(dropped), at(rows.rows));
  }
  rows.values = std::move(kept);
  rows.position += dropped;
  rows.rows -= dropped;
}

inline void drop_before(PromptLogprobs& chunk, std::uint32_t first) {
  if (chunk.position >= first) return;
  const std::size_t dropped = std::min<std::size_t>(first - chunk.position, chunk.tokens.size());
  chunk.tokens.erase(chunk.tokens.begin(), chunk.tokens.begin() + static_cast<std::ptrdiff_t>(dropped));
  chunk.position += static_cast<std::uint32_t>(dropped);
}

// Keeps of each chunk what lies at or after sent_end, and moves that on; a chunk with nothing left goes away.
template <class Chunk>
void keep_unsent(std::vector<Chunk>& chunks, std::uint32_t& sent_end) {
  for (Chunk& chunk : chunks) {
    drop_before(chunk, sent_end);
    sent_end = std::max(sent_end, end_position(chunk));
  }
  std::erase_if(chunks, [](const Chunk& chunk) { return end_position(chunk) == chunk.position; });
}

}  // namespace herd::step
