#include "endpoint/access/api_keys.h"

#include "endpoint/access/api_key_lines.h"
#include "endpoint/access/event_id.h"
#include "endpoint/access/hmac_sha256.h"
#include "endpoint/access/secret_file.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <map>
#include <span>
#include <utility>

namespace herd::access {
namespace {

// 0 is who calls when there are no keys.
admission::TenantId tenant_of(std::string_view name) {
  const Sha256 digest = sha256({view("herd tenant "), view(name)});
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | digest[i];
  return admission::TenantId(value == 0 ? 1 : value);
}

// Nothing when the header is not "Bearer KEY" with a key that could be one. Any number of blanks may stand between them
// (RFC 9110, 11.4), and the scheme's case does not matter.
std::optional<std::string_view> bearer_key(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return std::nullopt;
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != kScheme[i]) return std::nullopt;
  }
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' ', kScheme.size()), authorization.size()));
  if (authorization.empty() || authorization.size() > kKeyCharactersMax) return std::nullopt;
  return authorization;
}

// Of one line, as it was written; lengths keep its parts apart.
Sha256 fingerprint_of(const ApiKeyLine& line) {
  const admission::TenantLimits& limits = line.key.limits;
  std::string numbers;
  for (const double number : {limits.requests_per_minute, limits.prompt_tokens_per_minute, limits.output_tokens_per_minute,
                              static_cast<double>(limits.in_flight_max), limits.weight, static_cast<double>(line.key.name.size()),
                              static_cast<double>(line.plain.size())})
    numbers += std::to_string(number) + " ";
  if (!line.plain.empty()) return sha256({view(numbers), view(line.key.name), view(line.plain)});
  return sha256({view(numbers), view(line.key.name), view(line.salt), line.hash});
}

Sha256 fingerprint_of(const std::vector<ApiKeyLine>& lines) {
  std::vector<Sha256> each;
  for (const ApiKeyLine& line : lines) each.push_back(fingerprint_of(line));
  std::sort(each.begin(), each.end());
  return sha256({View(each.front().data(), each.size() * sizeof(Sha256))});
}

void wipe(std::string& secret) { OPENSSL_cleanse(secret.data(), secret.size()); }

}  // namespace

// Which lines have been seen; a repeat is an error that names the earlier one.
struct SeenLines {
  std::map<std::string, std::size_t, std::less<>> names;
  std::map<admission::TenantId, std::size_t> tenants;
  std::map<std::pair<std::uint32_t, Sha256>, std::size_t> hashes;  // by salt and hash
};

Expected<std::shared_ptr<const ApiKeys>> ApiKeys::from_lines(std::vector<ApiKeyLine> lines, const std::string& source,
                                                             StatusCode refusal) {
  const std::shared_ptr<ApiKeys> made(new ApiKeys);
  const auto repeat = [&](const ApiKeyLine& line, const char* what, std::size_t other) {
    return fail(Status(refusal, source + std::to_string(std::max(line.line, other)) + ": the " + what + " of " +
                                    source + std::to_string(std::min(line.line, other)) + " again"));
  };
  if (!lines.empty()) made->fingerprint_ = fingerprint_of(lines);
  SeenLines seen;
  std::map<std::string, std::uint32_t> salts;
  const auto drawn = random_key();
  for (ApiKeyLine& line : lines) {
    if (!line.plain.empty()) {
      line.salt.assign(drawn.begin(), drawn.end());
      line.hash = sha256({view(line.salt), view(line.plain)});
    }
    const auto salt = salts.emplace(line.salt, static_cast<std::uint32_t>(salts.size())).first->second;
    if (salts.size() > kSaltsMax)
      return fail(Status(refusal, source + std::to_string(line.line) + ": more than 128 different salts: keys may share one"));
    line.key.tenant = tenant_of(line.key.name);
    if (const auto [at, is_new] = seen.names.emplace(line.key.name, line.line); !is_new)
      return repeat(line, "name", at->second);
    if (const auto [at, is_new] = seen.tenants.emplace(line.key.tenant, line.line); !is_new)
      return repeat(line, "tenant id", at->second);
    if (const auto [at, is_new] = seen.hashes.emplace(std::pair(salt, line.hash), line.line); !is_new)
      return repeat(line, "key", at->second);
    made->secrets_.push_back({.salt = salt, .hash = line.hash});
    made->keys_.push_back(std::move(line.key));
  }
  made->salts_.resize(salts.size());
  for (const auto& [salt, index] : salts) made->salts_[index] = salt;
  // A key given in plain here and hashed there.
  for (ApiKeyLine& line : lines) {
    if (line.plain.empty()) continue;
    for (const auto& [salt, index] : salts) {
      const auto same = seen.hashes.find({index, sha256({view(salt), view(line.plain)})});
      if (same != seen.hashes.end() && same->second != line.line) return repeat(line, "key", same->second);
    }
    wipe(line.plain);
  }
  return std::shared_ptr<const ApiKeys>(made);
}

ApiKeys::~ApiKeys() = default;

Expected<std::shared_ptr<const ApiKeys>> ApiKeys::load(const std::string& path) {
  auto text = read_secret_file(path, kKeyFileBytesMax);
  if (!text) return fail(text.error());
  auto keys = from_text(*text, path);
  wipe(*text);
  return keys;
}

Expected<std::shared_ptr<const ApiKeys>> ApiKeys::from_text(std::string_view text, const std::string& file) {
  auto lines = parse_key_lines(text, file);
  if (!lines) return fail(lines.error());
  // An empty file must not open the door.
  if (lines->empty()) return fail(bad_input(file + ": no key in it"));
  return from_lines(std::move(*lines), file + ":", StatusCode::kBadInput);
}

Expected<std::shared_ptr<const ApiKeys>> ApiKeys::from_keys(const std::vector<std::string>& keys) {
  if (keys.size() > kKeysMax) return fail(usage_error("--api-key: more than 10,000 keys"));
  std::vector<ApiKeyLine> lines;
  for (const std::string& key : keys) {
    const std::size_t number = lines.size() + 1;
    if (Status status = check_key_characters(key); !status.ok())
      return fail(usage_error("--api-key " + std::to_string(number) + ": " + status.message()));
    ApiKeyLine line;
    line.line = number;
    line.key.name = "key-" + std::to_string(number);
    line.plain = key;
    lines.push_back(std::move(line));
  }
  return from_lines(std::move(lines), "--api-key ", StatusCode::kUsage);
}

const ApiKey* ApiKeys::find(std::string_view authorization) const {
  const auto key = bearer_key(authorization);
  if (!key) return nullptr;
  std::vector<Sha256> presented;  // by salt
  presented.reserve(salts_.size());
  for (const auto& salt : salts_) presented.push_back(sha256({view(salt), view(*key)}));
  // Every entry is compared, whatever came before. The first that fits counts.
  std::size_t found = keys_.size();
  for (std::size_t i = secrets_.size(); i-- > 0;) {
    const Secret& secret = secrets_[i];
    const bool same = CRYPTO_memcmp(presented[secret.salt].data(), secret.hash.data(), secret.hash.size()) == 0;
    found = same ? i : found;
  }
  return found == keys_.size() ? nullptr : &keys_[found];
}

}  // namespace herd::access
