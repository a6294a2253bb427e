#pragma once
// A small byte-level vocabulary for tests: ids 0 … 255 are the bytes, then what the merges build, then control tokens.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "runtime/tokenizer/sentencepiece_normalizer.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

inline const std::string kS(kSpaceSymbol);  // how pieces spell a space

using Bytes = std::vector<std::pair<std::string, std::string>>;  // pairs to merge, by rank

inline GgufVocabulary small_vocabulary(std::string pre, const Bytes& merges, const std::vector<std::string>& controls) {
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = std::move(pre);
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.tokens.push_back(bytes_to_alphabet(std::string(1, static_cast<char>(byte))));
  }
  for (const auto& [left, right] : merges) {
    const std::string spelled = bytes_to_alphabet(left + right);
    bool known = false;
    for (const std::string& token : vocabulary.tokens) known = known || token == spelled;
    if (!known) vocabulary.tokens.push_back(spelled);
    vocabulary.merges.push_back(bytes_to_alphabet(left) + " " + bytes_to_alphabet(right));
  }
  vocabulary.token_types.assign(vocabulary.tokens.size(), 1);
  for (const std::string& control : controls) {
    vocabulary.tokens.push_back(control);
    vocabulary.token_types.push_back(3);
  }
  return vocabulary;
}

inline Tokenizer build_small(const GgufVocabulary& vocabulary) {
  auto tokenizer = tokenizer_from_vocabulary(vocabulary);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message().c_str());
    std::abort();
  }
  return *tokenizer;
}

inline Tokenizer small_tokenizer(std::string pre = "gpt-2", const Bytes& merges = {},
                                 const std::vector<std::string>& controls = {}) {
  GgufVocabulary vocabulary = small_vocabulary(std::move(pre), merges, controls);
  vocabulary.add_bos = false;
  return build_small(vocabulary);
}

// The texts of the tokens, to compare with a list that a reader can read.
inline std::vector<std::string> texts(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  std::vector<std::string> out;
  for (const TokenId id : tokenizer.encode(text, options)) out.emplace_back(tokenizer.token_bytes(id));
  return out;
}

}  // namespace herd::tokenizer
