#include "endpoint/access/hmac_sha256.h"

#include "kernels/check.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace herd::access {
namespace {

constexpr std::size_t kBlockBytes = 64;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

// Looked up once: a look-up costs more than a hash of a short message. Lives as long as the process.
const EVP_MD* algorithm() {
  static const EVP_MD* const kSha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  HERD_CHECK(kSha256 != nullptr, "libcrypto has SHA-256");
  return kSha256;
}

Context new_context() {
  Context context(EVP_MD_CTX_new());
  HERD_CHECK(context != nullptr, "memory for a hash");
  return context;
}

void update(EVP_MD_CTX* context, View bytes) {
  HERD_CHECK(EVP_DigestUpdate(context, bytes.data(), bytes.size()) == 1, "hashing works");
}

Sha256 finish(EVP_MD_CTX* context) {
  Sha256 digest;
  HERD_CHECK(EVP_DigestFinal_ex(context, digest.data(), nullptr) == 1, "hashing works");
  return digest;
}

// The state after one block: the key, padded with zeros, with every byte xor `pad`.
Context padded_key(View key, std::uint8_t pad) {
  std::array<std::uint8_t, kBlockBytes> block;
  for (std::size_t i = 0; i < block.size(); ++i) block[i] = pad ^ (i < key.size() ? key[i] : 0);
  Context context = new_context();
  HERD_CHECK(EVP_DigestInit_ex2(context.get(), algorithm(), nullptr) == 1, "hashing works");
  update(context.get(), block);
  OPENSSL_cleanse(block.data(), block.size());
  return context;
}

}  // namespace

Sha256 sha256(std::initializer_list<View> parts) {
  const Context context = new_context();
  HERD_CHECK(EVP_DigestInit_ex2(context.get(), algorithm(), nullptr) == 1, "hashing works");
  for (const auto part : parts) update(context.get(), part);
  return finish(context.get());
}

struct HmacSha256::States {
  Context inner;
  Context outer;
};

HmacSha256::HmacSha256(View key, View beginning) {
  HERD_CHECK(key.size() <= kBlockBytes, "an HMAC key fits a block");
  states_ = std::make_unique<States>(States{.inner = padded_key(key, 0x36), .outer = padded_key(key, 0x5C)});
  update(states_->inner.get(), beginning);
}

HmacSha256::~HmacSha256() = default;

Sha256 HmacSha256::of(std::initializer_list<View> parts) const {
  const Context context = new_context();
  HERD_CHECK(EVP_MD_CTX_copy_ex(context.get(), states_->inner.get()) == 1, "hashing works");
  for (const auto part : parts) update(context.get(), part);
  const Sha256 inner = finish(context.get());
  HERD_CHECK(EVP_MD_CTX_copy_ex(context.get(), states_->outer.get()) == 1, "hashing works");
  update(context.get(), inner);
  return finish(context.get());
}

}  // namespace herd::access
