#pragma once
// What a gateway asks of a replica (Submission) and what comes back per sequence (TokenDelta). Values.

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/step/attempt_key.h"
#include "runtime/step/step_plan.h"

namespace herd::step {

// Another replica that is known to have a beginning of the tokens in its prefix cache: its KV blocks may be had from there. Of use,
// never needed: what cannot be had, or is there no more, is computed.
struct KvSource {
  ReplicaId replica;
  Epoch epoch;                         // of its generation
  std::string address;                 // of its leader
  std::uint32_t tokens = 0;            // that it has; 0: there is none
  bool operator==(const KvSource&) const = default;
};

// One sequence to run. `tokens` holds the prompt and, on a retry after a failure, what was already emitted.
struct Submission {
  GatewayId gateway;                   // deltas go back to it
  SequenceId sequence;
  std::uint32_t attempt = 0;           // deltas echo it; the ledger drops those of older attempts
  std::vector<TokenId> tokens;
  std::uint32_t prompt_tokens = 0;     // border inside `tokens`
  std::uint32_t max_tokens = 0;        // emitted tokens at most, those in `tokens` included
  SamplingParams sampling;
  std::vector<TokenId> eos_ids;        // ids that end the sequence unless ignore_eos
  std::int32_t priority = 0;           // lower runs first (vLLM); FCFS among equals
  std::uint64_t cache_salt = 0;        // starts the block-hash chain (tenant, LoRA id, image digest)
  OutputSelector output = OutputSelector::kNone;
  // A suspect: a rank died of itself while it computed this sequence. It shares no step with another sequence until it
  // has emitted more than so many tokens, those in `tokens` included. 0: no suspect.
  std::uint32_t alone_until = 0;
  KvSource source{};
  bool operator==(const Submission&) const = default;

  [[nodiscard]] AttemptKey key() const { return {gateway, sequence, attempt}; }
};

enum class FinishReason : std::uint8_t {
  kNone = 0,  // not finished
  kStop,      // EOS, stop token (the gateway: stop string)
  kLength,    // max_tokens or the model's context
  kAborted,   // the client went away
  kFailed,    // the replica could not go on; `error` says why
  kRefused,   // never ran; `error` says why
};
constexpr const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone: return "none";
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kAborted: return "abort";
    case FinishReason::kFailed: return "error";
    case FinishReason::kRefused: return "refused";
  }
  return "?";
}

// Zero or one token of one sequence, and the terminal event when `finish` is set. Exactly one delta of an
// accepted attempt is terminal. A token that ends the sequence by id is carried too (usage counts it), with
// finish kStop.
struct TokenDelta {
  GatewayId gateway;
  SequenceId sequence;
  std::uint32_t attempt = 0;
  bool has_token = false;
  SampledToken token;                  // valid when has_token
  std::vector<OutputRows> outputs;     // rows asked for by the submission's OutputSelector
  // kPromptLogprobs: runs that follow each other from position 1 on, each token once; all before the first sampled
  // token or with it. Most deltas carry none or one.
  std::vector<PromptLogprobs> prompt_logprobs;
  FinishReason finish = FinishReason::kNone;
  Status error;                        // kFailed, kRefused
  // Of this attempt alone, also after a failover: another replica's cache and queue are other facts. Set on the
  // first token's delta, on every later one and on the terminal one; 0 before.
  std::uint32_t cached_tokens = 0;     // prompt tokens served from the prefix cache
  float queued_s = 0.0F;               // from the submission to the first plan that computes rows of it
  float prefill_s = 0.0F;              // from that plan to the first token (scoring: to the end); 0 without one
  std::uint32_t preemptions = 0;       // how often it gave its blocks up; on the terminal delta
  ReplicaId replica;                   // who computed it: the gateway's ledger says so, it does not travel
  bool operator==(const TokenDelta&) const = default;

  [[nodiscard]] AttemptKey key() const { return {gateway, sequence, attempt}; }
};

}  // namespace herd::step
