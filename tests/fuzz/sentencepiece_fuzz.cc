// libFuzzer: SentencePiece's model files. What is accepted encodes and decodes any text, and finds no control token in it
// unless asked; a model with bytes and without a map of characters gives valid text back.
#include "runtime/tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::tokenizer;
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = parse_sentencepiece_model(content, "fuzz");
  if (!tokenizer) return tokenizer.error().message().empty() ? (std::abort(), 0) : 0;
  // Text and pieces at odds: the file is its own text, with and without its control tokens.
  const std::string_view text = content.substr(0, 2048);
  const auto file = read_sentencepiece_file(content, "fuzz");
  const auto unknown = std::find_if(file->pieces.begin(), file->pieces.end(),
                                    [](const SentencePiece& piece) { return piece.type == SentencePiece::Type::kUnknown; });
  for (const bool special : {false, true}) {
    for (const herd::TokenId id : tokenizer->encode(text, {.add_bos = special, .parse_special = special})) {
      if (id < 0 || static_cast<std::size_t>(id) >= tokenizer->vocab_size()) std::abort();
      if (!special && tokenizer->is_special(id) && id != unknown - file->pieces.begin()) std::abort();
    }
  }
  if (!Tokenizer::valid_utf8(tokenizer->decode(tokenizer->encode(text), false))) std::abort();
  return 0;
}
