#pragma once
// Rows of logits or states, and prompt log-probabilities, that are too many for one message. All logits of 512 rows of a vocabulary of
// 128,256 are 250 MiB. Only rank 0 hands them out, and it is in its replica's process; from there to a gateway they travel cut into
// deltas. Nothing is put together again: each piece is a delta. Pieces keep the order of positions, and keep_unsent (output_rows.h) drops
// repeated ones as it does whole chunks. Pure.

#include <cstddef>
#include <vector>

#include "runtime/step/submission.h"

namespace herd::step {

// How much of both one delta carries. One row alone may be longer (all layers of one row: layers * width values).
inline constexpr std::size_t kMessageOutputBytes = std::size_t{2} << 20;
inline constexpr std::size_t kDeltaOutputsMax = 8;      // chunks of each kind that one delta carries
inline constexpr std::size_t kDeltasMessageBytes = std::size_t{4} << 20;

// Rows in pieces of at most `values_max` values (of one row at least), rising positions. values is [layers, rows, width].
[[nodiscard]] std::vector<OutputRows> cut_rows(OutputRows rows, std::size_t values_max);

// Deltas that together fit one message, in order. Pieces before the last of a delta have its times and no token or end.
[[nodiscard]] std::vector<std::vector<TokenDelta>> cut_deltas(std::vector<TokenDelta> deltas);

}  // namespace herd::step
