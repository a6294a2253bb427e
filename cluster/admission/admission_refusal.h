#pragma once
// AdmissionRefusal: why a request is not taken, and when to come again. Value.

#include <cstdint>
#include <string>

namespace herd::admission {

struct AdmissionRefusal {
  enum class Reason : std::uint8_t {
    kQueueRequests,
    kQueueTokens,
    kDeadline,
    kRequestRate,
    kTokenRate,
    kInFlight,
    kNoReplica,  // none serves that could run it, and none will
  };
  Reason reason = Reason::kQueueRequests;
  bool quota = false;     // of its key (429), not of the machine (503)
  int retry_after_s = 1;  // [1, 600], from the measured rate
  std::string message;
};
[[nodiscard]] const char* refusal_name(AdmissionRefusal::Reason reason);  // label of metrics: "queue_requests", …

// `seconds`: to wait; cut to [1, 600], whole.
[[nodiscard]] AdmissionRefusal refusal(AdmissionRefusal::Reason reason, bool quota, double seconds, std::string message);
// Of what no replica can run.
[[nodiscard]] AdmissionRefusal no_replica_refusal(std::string why);
[[nodiscard]] int retry_after_s(double seconds);  // [1, 600]

}  // namespace herd::admission
