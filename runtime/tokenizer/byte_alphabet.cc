#include "runtime/tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "runtime/text/utf8.h"

namespace herd::tokenizer {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// The 68 other bytes take U+0100, U+0101, … in increasing order.
struct Alphabet {
  std::array<std::uint16_t, 256> character{};  // byte -> code point, below 0x144
  std::array<std::int16_t, 0x144> byte{};      // code point -> byte, -1: none
  constexpr Alphabet() {
    for (auto& entry : byte) entry = -1;
    unsigned next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      character[b] = static_cast<std::uint16_t>(stands_for_itself(b) ? b : next++);
      byte[character[b]] = static_cast<std::int16_t>(b);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

std::optional<std::string> bytes_from_alphabet(std::string_view spelled) {
  std::string bytes(spelled.size(), '\0');
  std::size_t size = 0;
  for (std::size_t i = 0; i < spelled.size(); ++i) {
    std::size_t character = static_cast<unsigned char>(spelled[i]);
    // Two bytes, below U+0144; three or four are no character of the alphabet.
    if (character >= 0x80) {
      if (character < 0xC2 || character > 0xC5 || i + 1 == spelled.size()) return std::nullopt;
      const std::size_t last = static_cast<unsigned char>(spelled[++i]);
      if ((last & 0xC0) != 0x80) return std::nullopt;
      character = (character & 0x1F) << 6 | (last & 0x3F);
    }
    if (character >= kAlphabet.byte.size() || kAlphabet.byte[character] < 0) return std::nullopt;
    bytes[size++] = static_cast<char>(kAlphabet.byte[character]);
  }
  bytes.resize(size);
  return bytes;
}

std::string bytes_to_alphabet(std::string_view bytes) {
  std::string spelled;
  for (const char c : bytes) {
    const unsigned value = kAlphabet.character[static_cast<unsigned char>(c)];
    text::append_utf8(value, spelled);
  }
  return spelled;
}

}  // namespace herd::tokenizer
