#pragma once
// ApiKeys: who may call, and how much. Keys come from a file a line each, kept as hashes:
//
//   # name   key=sk-… | sha256=SALT_HEX:HASH_HEX   [requests_per_minute=60] [prompt_tokens_per_minute=…]
//                                                  [output_tokens_per_minute=…] [in_flight=8] [weight=2]
//   hash = SHA-256(salt bytes + key)
//
// A presented key is compared with every entry in constant time.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/routing/admission_queue.h"
#include "kernels/status.h"

namespace herd::access {

struct ApiKey {
  std::string name;                 // [A-Za-z0-9_.-], unique; in logs and metrics
  routing::TenantId tenant;         // hash of the name: the same on every gateway
  routing::TenantLimits limits;
};

// Immutable; reloading makes a new one.
class ApiKeys {
 public:
  // kMissing: unreadable; kBadInput with file:line: a line that breaks the format, a name or key twice, a key shorter
  // than 8 characters, a file readable by others than its owner (chmod 600).
  static Expected<std::shared_ptr<const ApiKeys>> load(const std::string& path);
  static Expected<std::shared_ptr<const ApiKeys>> from_text(std::string_view text, const std::string& file);
  // Of --api-key (names key-1, key-2, …).
  static Expected<std::shared_ptr<const ApiKeys>> from_keys(const std::vector<std::string>& keys);
  ~ApiKeys();

  [[nodiscard]] const std::vector<ApiKey>& keys() const { return keys_; }
  // `authorization`: the header's value, "Bearer KEY". Null: no such key.
  [[nodiscard]] const ApiKey* find(std::string_view authorization) const;

 private:
  struct Secret;
  ApiKeys();
  std::vector<ApiKey> keys_;
  std::vector<Secret> secrets_;     // parallel to keys_
};

}  // namespace herd::access
