#pragma once
// The `normalizer` of a tokenizer.json: NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, Precompiled, in
// Sequences. Others are refused by name.

#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace boost::json {
class value;
}

namespace herd::tokenizer {

// Messages begin with the field. kBadInput: a step that is refused, more than kStagesMax of them.
[[nodiscard]] Expected<std::vector<NormalizerStep>> read_json_normalizer(const boost::json::value& normalizer);

}  // namespace herd::tokenizer
