#pragma once
// The names that GGUF writers give to pre-tokenizers (tokenizer.ggml.pre), and what each means: the patterns of the
// tokenizer.json that the name was made for.

#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/pre_tokenizer.h"

namespace herd::tokenizer {

struct GgufPreTokenizer {
  std::vector<PreTokenizerStage> stages;
  bool whole_piece_first = false;  // a piece that is a token needs no merging
  bool add_bos = false;            // a text begins with BOS, where the file does not say
};

// nullptr: no such name.
[[nodiscard]] const GgufPreTokenizer* find_gguf_pre_tokenizer(std::string_view name);

// The other way round, where BOS before a text is stated: empty when no name means this.
[[nodiscard]] std::string gguf_pre_tokenizer_name(const std::vector<PreTokenizerStage>& stages, bool whole_piece_first);

// All names, for messages: "a, b, c".
[[nodiscard]] std::string gguf_pre_tokenizer_names();

}  // namespace herd::tokenizer
