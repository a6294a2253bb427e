#include "cluster/admission/admission_refusal.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace herd::admission {
namespace {

constexpr int kRetryAfterMax_s = 600;
// Somebody has to bring a replica back first; nobody knows when.
constexpr double kRetryAfterNoReplica_s = 10;

using Reason = AdmissionRefusal::Reason;

}  // namespace

const char* refusal_name(Reason reason) {
  switch (reason) {
    case Reason::kQueueRequests:
      return "queue_requests";
    case Reason::kQueueTokens:
      return "queue_tokens";
    case Reason::kDeadline:
      return "deadline";
    case Reason::kRequestRate:
      return "request_rate";
    case Reason::kTokenRate:
      return "token_rate";
    case Reason::kInFlight:
      return "in_flight";
    case Reason::kNoReplica:
      return "no_replica";
  }
  return "unknown";
}

int retry_after_s(double seconds) {
  if (!(seconds < kRetryAfterMax_s)) return kRetryAfterMax_s;
  return std::max(1, static_cast<int>(std::ceil(seconds)));
}

AdmissionRefusal refusal(Reason reason, bool quota, double seconds, std::string message) {
  return {.reason = reason, .quota = quota, .retry_after_s = retry_after_s(seconds), .message = std::move(message)};
}

AdmissionRefusal no_replica_refusal(std::string why) {
  return refusal(Reason::kNoReplica, false, kRetryAfterNoReplica_s, std::move(why));
}

}  // namespace herd::admission
