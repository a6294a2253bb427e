#pragma once
// The `merges` of a tokenizer.json: pairs of tokens by rank, "left right" or ["left", "right"].

#include <vector>

#include "kernels/status.h"
#include "runtime/tokenizer/merge_table.h"
#include "runtime/tokenizer/token_map.h"

namespace boost::json {
class object;
}

namespace herd::tokenizer {

// `spelled`: the vocabulary as written. The last merge comes first: of a pair that stands twice it is the one that counts,
// as in the reference.
[[nodiscard]] Expected<std::vector<Merge>> read_json_merges(const boost::json::object& model, const TokenMap& spelled);

}  // namespace herd::tokenizer
