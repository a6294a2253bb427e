#pragma once
// The lines of a key file as values; api_keys.h has the format. What is true of a line alone is checked here, what is
// true of all of them together in api_keys.cc.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "endpoint/access/api_keys.h"
#include "endpoint/access/hmac_sha256.h"
#include "kernels/status.h"

namespace herd::access {

struct ApiKeyLine {
  std::size_t line = 0;  // from 1
  ApiKey key;
  std::string plain;  // of key=; empty: salt and hash are given
  std::string salt;   // bytes
  Sha256 hash{};
};

constexpr std::size_t kKeyFileBytesMax = 1 << 20;
constexpr std::size_t kKeysMax = 10'000;
constexpr std::size_t kKeyCharactersMax = 512;
// A presented key is hashed under each, before anybody knows who presents it: 0.1 ms at most. And at the start each key= of a file is
// hashed under each, which is about a second for 10,000 keys.
constexpr std::size_t kSaltsMax = 128;

// kBadInput with file:line.
[[nodiscard]] Expected<std::vector<ApiKeyLine>> parse_key_lines(std::string_view text, const std::string& file);

// What is wrong with a key itself; ok when nothing is.
[[nodiscard]] Status check_key_characters(std::string_view key);

}  // namespace herd::access
