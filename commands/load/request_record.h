#pragma once
// RequestRecord: what one request of a load run showed. A value; times are seconds of a monotonic clock since the run
// began. Definitions of vllm bench serve (vllm/benchmarks/lib/endpoint_request_func.py).

#include <cstdint>
#include <string>
#include <vector>

namespace herd::load {

enum class Outcome : std::uint8_t {
  kNotSent,     // the run ended before its turn
  kUnfinished,  // the run ended while it was under way
  kCompleted,   // a whole stream with at least one token, ended by [DONE]
  kRefused,     // 429 or 503: an answer, although not the one hoped for
  kFailed       // anything else
};

struct RequestRecord {
  Outcome outcome = Outcome::kNotSent;
  double arrival_s = 0.0;      // when the plan wanted it sent
  double start_s = 0.0;        // when it was sent; later than arrival_s while --max-concurrency held it back
  double ttft_s = 0.0;         // start → first chunk with a token
  std::vector<double> gaps_s;  // between chunks with a token; a chunk may hold several
  double latency_s = 0.0;      // start → last chunk with a choice; refused and failed: → end of the answer
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;  // of the prompt, found in the server's prefix cache
  std::uint32_t output_tokens = 0;  // by the server's usage, else the number of chunks with a token
  std::uint32_t chunks = 0;         // with a token
  int status = 0;                   // HTTP; 0: no answer came
  double retry_after_s = -1.0;      // below 0: no such header, or not in seconds
  std::string error;                // empty unless refused, failed or unfinished
  std::string text;                 // what was generated, where the run keeps it
};

}  // namespace herd::load
