// Any bytes as a key file: refused with its place, or accepted and then everything it says holds: names and tenants are
// unique, limits are in range, and what the Authorization header says is looked up without a surprise.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "endpoint/access/api_keys.h"
#include "kernels/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::access;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto keys = ApiKeys::from_text(text, "fuzz");
  if (!keys) {
    HERD_CHECK(keys.error().message().starts_with("fuzz:"), "a refusal says where");
    HERD_CHECK(keys.error().message().size() < 256, "a refusal does not repeat the file");
    return 0;
  }
  HERD_CHECK(!(*keys)->keys().empty(), "an empty file does not open the door");
  std::set<std::string> names;
  std::set<herd::admission::TenantId> tenants;
  for (const ApiKey& key : (*keys)->keys()) {
    HERD_CHECK(names.insert(key.name).second && tenants.insert(key.tenant).second, "names and tenants are unique");
    HERD_CHECK(key.tenant.value != 0, "a key is nobody's anonymous tenant");
    const auto& limits = key.limits;
    HERD_CHECK(limits.weight >= 0.001 && limits.weight <= 1000, "weights are in range");
    for (const double limit :
         {limits.requests_per_minute, limits.prompt_tokens_per_minute, limits.output_tokens_per_minute})
      HERD_CHECK(std::isfinite(limit) && limit >= 0, "limits are in range");
  }
  // The first key= of the file opens the door: a key that is a word of its line alone.
  const std::size_t at = text.find(" key=");
  if (at == std::string_view::npos || text.substr(0, at).find_first_of("#\n") != std::string_view::npos) return 0;
  const std::string_view rest = text.substr(at + 5);
  const std::string key(rest.substr(0, rest.find_first_of(" \t\n")));
  const ApiKey* found = (*keys)->find("Bearer " + key);
  HERD_CHECK(found == &(*keys)->keys().front(), "a key is found");
  HERD_CHECK((*keys)->find("Bearer " + key + "x") != found, "another is not");
  (void)(*keys)->find(text);
  return 0;
}
