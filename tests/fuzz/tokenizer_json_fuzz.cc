// libFuzzer: tokenizer.json parser. Whatever the bytes: a refusal or a tokenizer that encodes and decodes.
#include "runtime/tokenizer/tokenizer_json.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::tokenizer;
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = parse_tokenizer_json(content, "fuzz");
  if (!tokenizer) return tokenizer.error().message().empty() ? (std::abort(), 0) : 0;
  // Text and vocabulary at odds: the file is its own text, with and without its control tokens.
  const std::string_view text = content.substr(0, 2048);
  for (const bool special : {false, true}) {
    for (const herd::TokenId id : tokenizer->encode(text, {.add_bos = true, .parse_special = special})) {
      if (id < 0 || static_cast<std::size_t>(id) >= tokenizer->vocab_size()) std::abort();
    }
  }
  if (!Tokenizer::valid_utf8(tokenizer->decode(tokenizer->encode(text), false))) std::abort();
  return 0;
}
