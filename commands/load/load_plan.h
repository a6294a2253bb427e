#pragma once
// What a load run sends, and when: arrival times and prompts, decided before the first request from a seed. Pure; the
// same options give the same plan everywhere. Definitions of vllm bench serve (vllm/benchmarks/serve.py get_request,
// datasets/random.py). Files are read in data_set_json.h.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::load {

enum class RampUp : std::uint8_t { kNone, kLinear, kExponential };

struct ArrivalOptions {
  double request_rate = std::numeric_limits<double>::infinity();  // requests/s; infinite: all at once
  double burstiness = 1.0;         // shape of the gamma-distributed gaps: 1 Poisson, < 1 burstier, infinite: even
  RampUp ramp_up = RampUp::kNone;  // kLinear, kExponential: the rate goes from start to end over the requests
  double ramp_up_start_rps = 0.0;
  double ramp_up_end_rps = 0.0;
  std::uint64_t seed = 0;
};

// Seconds after the start of the run, never falling. With a fixed rate the times are scaled so that the last one is
// requests / request_rate, as vLLM does: the offered rate is then exact for every seed. kUsage names the bad value.
[[nodiscard]] Expected<std::vector<double>> arrival_times(std::size_t requests, const ArrivalOptions& options);

struct PlannedRequest {
  std::string text;                 // the prompt, when token_ids is empty
  std::vector<TokenId> token_ids;   // the prompt as ids; only for /v1/completions
  std::uint32_t prompt_tokens = 0;  // as planned; what the server reports wins
  std::uint32_t output_tokens = 1;  // max_tokens
  double arrival_s = 0.0;
  bool operator==(const PlannedRequest&) const = default;
};

struct RandomPrompts {
  std::uint32_t input_len = 1024;  // tokens, prefix not included
  std::uint32_t output_len = 128;
  std::uint32_t prefix_len = 0;  // tokens that all prompts share
  double range_ratio = 0.0;      // lengths are drawn from [floor(len·(1-r)), ceil(len·(1+r))]; [0, 1)
  std::uint64_t seed = 0;
  // What prompts are made of: these ids, else ids of [0, vocab_size), else words (about a token each).
  std::vector<TokenId> alphabet = {};
  std::uint32_t vocab_size = 0;
};

// arrival_s is left at 0. Each request's tokens are independent, so that no two share more than the prefix and chance.
[[nodiscard]] Expected<std::vector<PlannedRequest>> random_requests(std::size_t requests, const RandomPrompts& prompts);

// Words that most vocabularies hold as one token when a space stands before them; used where ids cannot be.
[[nodiscard]] const std::vector<std::string>& plain_words();

// Makes `requests` out of what a file held: the first ones, or all and then repetitions drawn from the seed.
// kBadInput when there is nothing to draw from.
[[nodiscard]] Expected<std::vector<PlannedRequest>> fill_up(std::vector<PlannedRequest> samples, std::size_t requests,
                                                            bool oversample, std::uint64_t seed);

// Fisher-Yates from the seed.
void shuffle(std::vector<PlannedRequest>& requests, std::uint64_t seed);

}  // namespace herd::load
