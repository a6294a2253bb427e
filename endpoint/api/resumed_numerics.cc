#include "endpoint/api/resumed_numerics.h"

#include <string>

#include "runtime/text/hex.h"

namespace herd::api {

openai::ApiExpected<routing::NumericsId> resumed_numerics(const routing::ClusterView& view, const access::NumericsDigits& stream) {
  bool all_known = !view.replicas.empty();
  std::string others;  // each once, as far as equal ones are neighbours
  const routing::NumericsId* before = nullptr;
  for (const routing::ReplicaView& replica : view.replicas) {
    const routing::NumericsId& its = replica.route.numerics;
    if (its.empty()) {
      all_known = all_known && replica.state != routing::ReplicaState::kMaking;
      continue;
    }
    if (access::read_numerics_digits(its) == stream) return its;
    if (before != nullptr && *before == its) continue;
    others += (others.empty() ? "" : ", ") + its;
    before = &its;
  }
  if (!all_known || others.empty())
    return openai::refuse(openai::overloaded("replicas of the cluster are being made, and it is not known yet whether they make the "
                                             "bytes of this stream; try again later", 1));
  return openai::refuse(openai::bad_field(
      "Last-Event-ID", "Last-Event-ID: this stream was made under numerics " + text::hex(stream) +
                           ", the replicas of this cluster compute under " + others +
                           ": other weights or arithmetic would go on with other text; ask anew, without Last-Event-ID"));
}

}  // namespace herd::api
