#include "runtime/tokenizer/json_merges.h"

#include <span>
#include <string>

#include "runtime/tokenizer/spelled_merges.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {

Expected<Table<Merge>> read_json_merges(const JsonDocument& document, const TokenMap& spelled) {
  const std::span<const SpelledMerge> merges = document.merges();
  if (merges.size() > kMergesMax) return fail(bad_input("model.merges: more than " + std::to_string(kMergesMax)));
  Table<Merge> found = find_merges(merges, spelled, MergeOrder::kFalling);
  for (const Merge& merge : found) {
    const bool misshapen = merge.rank == document.last_misshapen_merge();
    if (!misshapen && is_found(merge)) continue;
    const std::string where = "model.merges[" + std::to_string(merge.rank) + "]: ";
    if (misshapen) {
      return fail(bad_input(where + "not two tokens, in one text with a space between them or in two"));
    }
    const SpelledMerge& spelling = merges[merge.rank];
    return fail(bad_input(where + "'" + std::string(spelling.left) + "' and '" + std::string(spelling.right) +
                          "' or what they make is not in model.vocab"));
  }
  return found;
}

}  // namespace herd::tokenizer
