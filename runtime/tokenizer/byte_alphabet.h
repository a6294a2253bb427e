#pragma once
// The byte alphabet of GPT-2 (Radford et al. 2019): each of the 256 bytes has one printable character, so that a
// vocabulary of byte strings can be written as text. HF files and GGUF spell their tokens in it ("Ġthe" = " the").

#include <optional>
#include <string>
#include <string_view>

namespace herd::tokenizer {

// The bytes that `spelled` (valid UTF-8) stands for; nothing when a character is outside the alphabet.
[[nodiscard]] std::optional<std::string> bytes_from_alphabet(std::string_view spelled);

// The inverse: every byte string has a spelling.
[[nodiscard]] std::string bytes_to_alphabet(std::string_view bytes);

}  // namespace herd::tokenizer
