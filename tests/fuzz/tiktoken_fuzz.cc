// libFuzzer: tiktoken parser. A file needs all 256 bytes to be accepted, which mutation alone never gets right: the
// first byte of the input says whether the harness puts those lines in front.
#include "runtime/tokenizer/tiktoken_model.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

const std::string& all_bytes() {
  static const std::string kLines = [] {
    constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string lines;
    for (unsigned byte = 0; byte < 256; ++byte) {
      lines += {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '=', ' '};
      lines += std::to_string(byte) + "\n";
    }
    return lines;
  }();
  return kLines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::tokenizer;
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  const bool with_bytes = data[0] % 2 == 1;
  const std::string content = with_bytes ? all_bytes() + std::string(rest) : std::string(rest);
  const auto specials = data[0] % 4 < 2 ? TiktokenSpecials::kLlama30 : TiktokenSpecials::kLlama31;
  const auto tokenizer = parse_tiktoken_model(content, "fuzz", specials);
  if (!tokenizer) return tokenizer.error().message().empty() ? (std::abort(), 0) : 0;
  // All bytes have tokens: valid text comes back as it was.
  const std::string_view text = rest.substr(0, 2048);
  const std::string decoded = tokenizer->decode(tokenizer->encode(text), false);
  if (Tokenizer::valid_utf8(text) ? decoded != text : !Tokenizer::valid_utf8(decoded)) std::abort();
  return 0;
}
