#pragma once
// Prompts out of files: JSON lines of {"prompt", "output_tokens"?} (vLLM's "custom"), and ShareGPT's array of
// conversations. Files are read in pieces; one record at a time is parsed.

#include <functional>
#include <string>

#include "commands/load/load_plan.h"

namespace herd::load {

struct DataSetOptions {
  std::string path;
  // Tokens of a text. Unset: estimated as a quarter of its bytes, rounded up.
  std::function<std::uint32_t(const std::string&)> count_tokens;
  // max_tokens of a record that names none. ShareGPT: 0 takes the length of the recorded reply.
  std::uint32_t output_len = 256;
  std::size_t records_max = 1'000'000;
};

// One record a line; empty lines are skipped. Errors name the line. kMissing, kBadInput.
[[nodiscard]] Expected<std::vector<PlannedRequest>> read_custom(const DataSetOptions& options);

// The first turn of each conversation is the prompt, the second gives the output length. Left out, as vLLM does:
// conversations of fewer than two turns, prompts or replies under 4 tokens, prompts over 1,024, sums over 2,048.
[[nodiscard]] Expected<std::vector<PlannedRequest>> read_sharegpt(const DataSetOptions& options);

}  // namespace herd::load
