#include "endpoint/access/access_digest.h"

#include <openssl/evp.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "endpoint/access/hmac_sha256.h"
#include "kernels/check.h"
#include "runtime/text/hex.h"

namespace herd::access {
namespace {

constexpr std::size_t kDigestBytes = 8;
constexpr int kRounds = 100'000;
constexpr std::string_view kResumePurpose = "herd resume key";
constexpr std::string_view kKeysPurpose = "herd API keys";

}  // namespace

std::string resume_digest(const std::array<std::uint8_t, EventIdCodec::kKeyBytes>& key) {
  const Sha256 digest = HmacSha256(key, {}).of({view(kResumePurpose)});
  return text::hex(std::span(digest).first<kDigestBytes>());
}

std::string keys_digest(const ApiKeys* keys) {
  if (keys == nullptr) return kNoDigest;
  const Sha256& secret = keys->fingerprint();
  std::array<std::uint8_t, kDigestBytes> digest{};
  const int made = PKCS5_PBKDF2_HMAC(reinterpret_cast<const char*>(secret.data()), static_cast<int>(secret.size()),
                                     view(kKeysPurpose).data(), static_cast<int>(kKeysPurpose.size()), kRounds, EVP_sha256(),
                                     static_cast<int>(digest.size()), digest.data());
  HERD_CHECK(made == 1, "a digest of keys can be made");
  return text::hex(digest);
}

}  // namespace herd::access
