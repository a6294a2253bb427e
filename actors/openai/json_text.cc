#include "actors/openai/json_text.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace herd::openai {
namespace {

// Per byte: 0: as it is; 'u': \u00XX; else the letter behind the backslash.
constexpr std::array<char, 256> escapes() {
  std::array<char, 256> letters{};
  for (std::size_t i = 0; i < 0x20; ++i) letters[i] = 'u';
  letters['\b'] = 'b';
  letters['\t'] = 't';
  letters['\n'] = 'n';
  letters['\f'] = 'f';
  letters['\r'] = 'r';
  letters['"'] = '"';
  letters['\\'] = '\\';
  letters[0x7f] = 'u';  // legal as it is; terminals think otherwise
  return letters;
}
constexpr std::array<char, 256> kEscapes = escapes();

// Bytes at the front of `text` that need no escape. Eight at a time: a byte's high bit is set where it is a control
// character, '"', '\\' or DEL ("Bit Twiddling Hacks", Anderson, haszero); a false alarm above the first hit is
// harmless, because the byte loop then looks itself.
std::size_t plain_prefix(std::string_view text) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
  constexpr std::uint64_t kHighs = 0x8080808080808080ULL;
  const auto zero = [](std::uint64_t x) { return (x - kOnes) & ~x & kHighs; };
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    const std::uint64_t control = (word - kOnes * 0x20) & ~word & kHighs;
    if ((control | zero(word ^ (kOnes * '"')) | zero(word ^ (kOnes * '\\')) | zero(word ^ (kOnes * 0x7f))) != 0) break;
  }
  while (i < text.size() && kEscapes[static_cast<unsigned char>(text[i])] == 0) ++i;
  return i;
}

template <class Float>
void append_shortest(Float number, std::string& out) {
  char digits[64];
  const char* end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
  const std::string_view text(digits, static_cast<std::size_t>(end - digits));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

}  // namespace

void append_escaped(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  while (true) {
    const std::size_t plain = plain_prefix(text);
    out.append(text.data(), plain);
    if (plain == text.size()) return;
    const auto byte = static_cast<unsigned char>(text[plain]);
    const char letter = kEscapes[byte];
    out += '\\';
    out += letter;
    if (letter == 'u') {
      out += "00";
      out += kHex[byte >> 4U];
      out += kHex[byte & 0xfU];
    }
    text.remove_prefix(plain + 1);
  }
}

void append_float(float number, std::string& out) { append_shortest(std::isfinite(number) ? number : -9999.0F, out); }
void append_double(double number, std::string& out) { append_shortest(std::isfinite(number) ? number : 0.0, out); }

}  // namespace herd::openai
