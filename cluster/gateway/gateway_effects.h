#pragma once
// What goes into a GatewayCore and what comes out: requests as the core sees them (no text, no sockets), and its effects,
// which the shell carries out in order. Values.

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "cluster/admission/admission_queue.h"
#include "cluster/routing/cluster_view.h"
#include "kernels/status.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/step/submission.h"

namespace herd::gateway {

// One request of one client: `sequences` choices that need the model, 0 when nothing is to be computed.
struct GatewayRequest {
  RequestId id;  // chosen by the caller, never used before in this gateway's life
  admission::TenantId tenant;
  std::uint32_t sequences = 1;
  std::uint64_t prompt_tokens = 0;      // each prompt once
  std::uint64_t output_tokens_max = 0;  // of all its sequences
  std::int32_t priority = 0;            // lower runs first
  Instant deadline;                     // it ends then, whatever happens
  // Deltas that may be delivered and not yet consumed; with one more the request ends as kSlow. At least 1.
  std::size_t credit = 1;
  // The stream that it goes on with was made by these numerics; only replicas of equal ones may. Empty: any.
  routing::NumericsId numerics;
};

// How a request ended. It is the last thing that is said about it.
struct RequestEnd {
  enum class Kind : std::uint8_t {
    kFinished,  // every choice ended well
    kRefused,   // by admission; `refusal` says why
    kLate,      // its deadline passed before it could start
    kTimedOut,  // its deadline passed after it had started; parked ones too
    kFailed,    // `why` says what the replica, or the cluster, said
    kSlow,      // nobody read
    kGone,      // the caller said so
    kShutdown,  // the gateway ends
  };
  Kind kind = Kind::kFinished;
  Status why;  // not ok unless kFinished, kGone
  std::optional<admission::AdmissionRefusal> refusal{};
  bool started = false;  // its choices had been handed over
  // kFailed: the request was refused as it was asked, and nothing of it had been computed. What a replica says of work that it
  // had begun is not the caller's fault, whatever the code of `why`.
  bool blames_caller = false;
  // kFailed: ranks died of it (`why` kInternal), or of an earlier request with its prompt, so that it was not tried (kBadInput).
  bool poison = false;
};

// Its turn has come: the shell hands over its submissions with GatewayCore::on_started, at once. A request of no sequences
// ends in the same breath (EndRequest follows), and needs no on_started.
struct StartRequest {
  RequestId request;
};
// Send it there. An attempt of that choice, which counts the submissions handed over.
struct RunOn {
  routing::Route to;
  step::Submission submission;
  RequestId request{};
  std::uint32_t choice = 0;
};
// Tell it to forget that attempt. It may have done so already.
struct StopOn {
  routing::Route on;
  step::AttemptKey attempt;
};
// Why an attempt ended before its choice did.
enum class AttemptCutBy : std::uint8_t {
  kLoss,       // its replica is gone
  kStop,       // its replica was stopped on purpose
  kLink,       // only the way there was cut
  kDrain,      // its replica drains
  kSlowness,   // its replica is far slower than another
  kRefusal,    // its replica had no room, or was about to stop
  kUnsent,     // it never left this gateway
  kSuspicion,  // an attempt before it is said to have killed a rank: it is not to run among others
};
// An attempt of a choice is over, and the choice is not: another one follows (RunOn), or the request ends. For whoever traces; nothing
// has to be done.
struct AttemptCut {
  RequestId request;
  std::uint32_t choice = 0;
  AttemptCutBy by = AttemptCutBy::kLoss;
  Status why;  // in words
};
// A token, output rows, or the good end (kStop, kLength) of one choice; `choice` counts the submissions handed over. The
// shell answers with on_consumed, on_choice_stopped, on_gone: at once or later.
struct Deliver {
  RequestId request;
  std::uint32_t choice = 0;
  step::TokenDelta delta;
};
struct EndRequest {
  RequestId request;
  RequestEnd end;
};
// Call on_timer then. The last one said holds.
struct WakeAt {
  Instant at;
};

using GatewayEffect = std::variant<StartRequest, RunOn, StopOn, AttemptCut, Deliver, EndRequest, WakeAt>;
using GatewayEffects = std::vector<GatewayEffect>;

}  // namespace herd::gateway
