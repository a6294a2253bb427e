#pragma once
// ApiKeys: who may call, and how much. Keys come from a file a line each, kept as hashes:
//
//   # name   key=sk-… | sha256=SALT_HEX:HASH_HEX   [requests_per_minute=60] [prompt_tokens_per_minute=…]
//                                                  [output_tokens_per_minute=…] [in_flight=8] [weight=2]
//   hash = SHA-256(salt bytes + key); salt: 8 to 64 bytes
//
// Fields in any order, apart by blanks; what is left out has the default of admission::TenantLimits; 0 is no limit.
//   limits per minute: [0, 1e12]   in_flight: whole, [0, 1e6]   weight: [0.001, 1000]
// Blank lines and lines that begin with # are skipped. A key is 8 to 512 visible ASCII characters. At most 10,000 lines
// with keys, 128 different salts and 1 MiB. No message repeats what a line says: it may be a secret in the wrong place.
//
// A presented key is compared with every entry in constant time. A salt costs one hash a look-up: those of key= share
// one, drawn when they are loaded; give the sha256= of one file the same salt when there are many.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/admission/admission_queue.h"
#include "kernels/status.h"

namespace herd::access {

struct ApiKey {
  std::string name;          // [A-Za-z0-9_.-]{1,64}, unique; in logs and metrics
  admission::TenantId tenant;  // hash of the name: the same on every gateway; never 0
  admission::TenantLimits limits;
};

struct ApiKeyLine;  // api_key_lines.h

// Immutable; reloading makes a new one.
class ApiKeys {
 public:
  // kMissing: unreadable; kBadInput with file:line: a line that breaks the format, a name or key twice (the same key
  // under two salts cannot be seen), a salt too many, a key shorter than 8 characters; kBadInput: no key at all, a file readable by
  // others than its owner (chmod 600; secret_file.h).
  static Expected<std::shared_ptr<const ApiKeys>> load(const std::string& path);
  static Expected<std::shared_ptr<const ApiKeys>> from_text(std::string_view text, const std::string& file);
  // Of --api-key (names key-1, key-2, …). None: nobody is let in by find(). kUsage: a key that is no key, or twice.
  static Expected<std::shared_ptr<const ApiKeys>> from_keys(const std::vector<std::string>& keys);

  [[nodiscard]] const std::vector<ApiKey>& keys() const { return keys_; }
  // `authorization`: the header's value, "Bearer KEY". Null: no such key.
  [[nodiscard]] const ApiKey* find(std::string_view authorization) const;
  // SHA-256 of names, keys and limits, whatever their order: a secret as they are.
  [[nodiscard]] const std::array<std::uint8_t, 32>& fingerprint() const { return fingerprint_; }
  ~ApiKeys();

 private:
  struct Secret {
    std::uint32_t salt = 0;  // index into salts_
    std::array<std::uint8_t, 32> hash{};
  };
  ApiKeys() = default;
  static Expected<std::shared_ptr<const ApiKeys>> from_lines(std::vector<ApiKeyLine> lines, const std::string& source,
                                                             StatusCode refusal);

  std::vector<ApiKey> keys_;
  std::vector<Secret> secrets_;     // parallel to keys_
  std::vector<std::string> salts_;  // bytes
  std::array<std::uint8_t, 32> fingerprint_{};
};

}  // namespace herd::access
