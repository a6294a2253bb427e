#pragma once
// Sampling defaults that travel with a checkpoint (generation_config.json, or GGUF's special token ids). Absent means
// "not stated": the caller's own default then holds.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::model {

// Every value is one that a request may have, too.
struct GenerationConfig {
  std::optional<TokenId> bos_id;
  std::optional<TokenId> pad_id;
  std::vector<TokenId> eos_ids;  // any of them ends a sequence; deduplicated, in the file's order
  std::optional<bool> do_sample;
  std::optional<double> temperature;  // 0 where do_sample is false, whatever the file says beside it
  std::optional<double> top_p;
  std::optional<int> top_k;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<int> max_length;
  std::optional<int> max_new_tokens;
  std::vector<std::string> warnings;  // what the file says and herd does not do, a line each

  bool operator==(const GenerationConfig&) const = default;
};

// `file` is named in messages. Unknown keys are ignored: the file is written by many libraries. A default that no
// request may ask for is left out, and a key that changes what transformers generates and has no counterpart here is
// not applied; warnings name both.
[[nodiscard]] Expected<GenerationConfig> parse_generation_config(std::string_view text, std::string_view file);

}  // namespace herd::model
