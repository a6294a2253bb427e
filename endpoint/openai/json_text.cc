#include "endpoint/openai/json_text.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "runtime/text/hex.h"

namespace herd::openai {
namespace {

// Per byte: 0: as it is; 'u': \u00XX; kFirst: the first byte of a line end, perhaps; else the letter behind the backslash.
constexpr char kFirst = 1;
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
  letters[0xC2] = letters[0xE2] = kFirst;
  return letters;
}
constexpr std::array<char, 256> kEscapes = escapes();

// The escape of the character at the front where it ends a line to some readers of streams: U+0085, U+2028, U+2029 are legal
// in JSON, but Python's splitlines(), which common SSE clients use, cuts an event in two there. Empty: it is none of them.
std::string_view line_end_escape(std::string_view text) {
  if (text.starts_with("\xC2\x85")) return "\\u0085";
  if (text.starts_with("\xE2\x80\xA8")) return "\\u2028";
  if (text.starts_with("\xE2\x80\xA9")) return "\\u2029";
  return {};
}

bool is_plain(std::string_view text, std::size_t at) {
  const char letter = kEscapes[static_cast<unsigned char>(text[at])];
  return letter == 0 || (letter == kFirst && line_end_escape(text.substr(at)).empty());
}

// Bytes at the front of `text` that need no escape. Eight at a time: a byte's high bit is set where it is a control
// character, '"', '\\', DEL or begins a line end, perhaps ("Bit Twiddling Hacks", Anderson, haszero); a false alarm above the first hit is
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
    if ((control | zero(word ^ (kOnes * '"')) | zero(word ^ (kOnes * '\\')) | zero(word ^ (kOnes * 0x7f)) |
         zero(word ^ (kOnes * 0xC2)) | zero(word ^ (kOnes * 0xE2))) != 0)
      break;
  }
  while (i < text.size() && is_plain(text, i)) ++i;
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
  while (true) {
    const std::size_t plain = plain_prefix(text);
    out.append(text.data(), plain);
    if (plain == text.size()) return;
    const auto byte = static_cast<unsigned char>(text[plain]);
    const char letter = kEscapes[byte];
    if (letter == kFirst) {
      out += line_end_escape(text.substr(plain));
      text.remove_prefix(plain + (byte == 0xC2 ? 2 : 3));
      continue;
    }
    out += '\\';
    out += letter;
    if (letter == 'u') {
      out += "00";
      text::append_hex(byte, out);
    }
    text.remove_prefix(plain + 1);
  }
}

void append_float(float number, std::string& out) { append_shortest(std::isfinite(number) ? number : -9999.0F, out); }
void append_double(double number, std::string& out) { append_shortest(std::isfinite(number) ? number : 0.0, out); }

}  // namespace herd::openai
