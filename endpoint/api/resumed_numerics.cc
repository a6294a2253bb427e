#include "endpoint/api/resumed_numerics.h"

#include <string>

#include "runtime/text/hex.h"

namespace herd::api {

openai::ApiExpected<routing::NumericsId> resumed_numerics(const routing::ClusterView& view, const access::NumericsDigits& stream) {
  using routing::ReplicaState;
  const routing::NumericsId* again = nullptr;  // of a replica that will serve, or does but takes nothing new: the stream's
  bool others_serve = false, all_known = true;
  std::string others;  // each once, as far as equal ones are neighbours
  const routing::NumericsId* before = nullptr;
  for (const routing::ReplicaView& replica : view.replicas) {
    if (replica.state == ReplicaState::kLost && !replica.returns) continue;
    const routing::NumericsId& its = replica.route.numerics;
    if (its.empty()) {
      // It serves for the first time when its ranks have read the weights, and until then it is lost and returns.
      all_known = false;
      continue;
    }
    if (access::read_numerics_digits(its) == stream) {
      if (replica.state == ReplicaState::kServing) return its;
      again = &its;
      continue;
    }
    others_serve |= replica.state == ReplicaState::kServing;
    if (before != nullptr && *before == its) continue;
    others += (others.empty() ? "" : ", ") + its;
    before = &its;
  }
  // Where nobody serves at all it waits as every request does; beside others it would hold places that they could use.
  if (again != nullptr && !others_serve) return *again;
  if (again != nullptr)
    return openai::refuse(openai::overloaded("no replica makes the bytes of this stream at this moment, and one will again; try again "
                                             "later", 1));
  if (!all_known || others.empty())
    return openai::refuse(openai::overloaded("replicas of the cluster are being made, and it is not known yet whether they make the "
                                             "bytes of this stream; try again later", 1));
  return openai::refuse(openai::bad_field(
      "Last-Event-ID", "Last-Event-ID: this stream was made under numerics " + text::hex(stream) +
                           ", the replicas of this cluster compute under " + others +
                           ": other weights or arithmetic would go on with other text; ask anew, without Last-Event-ID"));
}

}  // namespace herd::api
