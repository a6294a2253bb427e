#pragma once
// The `merges` of a tokenizer.json.

#include "kernels/status.h"
#include "runtime/tokenizer/json_document.h"
#include "runtime/tokenizer/large_pages.h"
#include "runtime/tokenizer/merge_table.h"
#include "runtime/tokenizer/token_map.h"

namespace herd::tokenizer {

// `spelled`: the vocabulary as written. The last merge comes first: of a pair that stands twice it is the one that counts,
// as in the reference. kBadInput tells the last of several faults.
[[nodiscard]] Expected<Table<Merge>> read_json_merges(const JsonDocument& document, const TokenMap& spelled);

}  // namespace herd::tokenizer
