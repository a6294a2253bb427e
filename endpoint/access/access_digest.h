#pragma once
// What a gateway's resume key and API keys are, as texts that tell nothing but whether two are equal: so that an operator sees which
// gateway of a cluster has others.

#include <array>
#include <cstdint>
#include <string>

#include "endpoint/access/api_keys.h"
#include "endpoint/access/event_id.h"

namespace herd::access {

inline constexpr const char* kNoDigest = "-";

// 16 hexadecimal digits.
[[nodiscard]] std::string resume_digest(const std::array<std::uint8_t, EventIdCodec::kKeyBytes>& key);
// Of the names, keys and limits, in whatever order; a key given in plain and the same one hashed are not equal. Null: "-". Takes tens
// of milliseconds, so that whoever sees a digest does not find short keys by trying them.
[[nodiscard]] std::string keys_digest(const ApiKeys* keys);

}  // namespace herd::access
