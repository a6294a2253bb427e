#pragma once
// GenerationRequest: a completion or chat request as it runs: parsed, checked, tokenized, every default filled in. Value.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/admission/admission_queue.h"
#include "cluster/routing/cluster_view.h"
#include "endpoint/access/event_id.h"
#include "endpoint/http/http_message.h"
#include "endpoint/openai/openai_request.h"
#include "endpoint/openai/openai_response.h"
#include "runtime/step/submission.h"

namespace herd::api {

struct GenerationRequest {
  struct Prompt {
    std::vector<TokenId> ids;
    std::string text;              // as echoed
    bool given_as_text = false;    // else `text` is what the ids stand for
    std::uint32_t max_tokens = 0;  // 0: the prompt alone (echo)
  };
  openai::AnswerHead answer;
  openai::GenerationFields fields;
  step::SamplingParams sampling;  // seed and choice are the job's
  std::vector<Prompt> prompts;        // n choices each
  std::uint32_t tokens_asked = 0;     // of a choice: the body's word or the default, whatever room there is; 0: all there is
  bool echo = false;
  std::uint64_t seed = 0;             // the request's, or drawn
  bool seed_given = false;            // else each prompt derives its own from `seed`
  std::string tenant_name;
  admission::TenantId tenant;
  std::uint64_t cache_salt = 0;
  access::EventId event;              // created, answer, seed, body: what every id of this stream says
  std::optional<access::EventId> resume;
  routing::NumericsId numerics;       // of the replicas that may go on with a resumed stream; empty: any may
  double timeout_s = 600;
  std::string request_id;
  std::string trace_id;                   // as the log has it; empty: none
  std::vector<http::HttpHeader> headers;  // of the answer
  std::vector<std::string> ignored_fields;
  bool begins_twice = false;              // a prompt spells the token that the tokenizer puts before it

  [[nodiscard]] std::size_t choices() const { return prompts.size() * fields.n; }
  // Whether choices of that prompt need the model; an echo of the prompt alone does not.
  [[nodiscard]] bool runs(const Prompt& prompt) const { return prompt.max_tokens > 0 || fields.logprobs >= 0; }
  // What a choice asks a replica for; [0, choices()).
  [[nodiscard]] step::Submission submission(std::size_t choice, const std::vector<TokenId>& eos_ids) const;
  // Of the body and of what this server's defaults made of it: sampling, the tokens asked for and the ids that end an answer. A
  // stream goes on only where all of them are the same. How much room max_model_len leaves is no part of it: that is another number on
  // each server and after each start, and changes where a stream is cut, never a byte before.
  [[nodiscard]] access::BodyHash bound_hash(std::string_view body, const std::vector<TokenId>& eos_ids) const;
  [[nodiscard]] std::uint64_t prompt_tokens() const;      // each prompt once
  [[nodiscard]] std::uint64_t output_tokens_max() const;  // of all choices
};

}  // namespace herd::api
