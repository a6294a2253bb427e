#include "commands/completion_json.h"

#include <boost/json.hpp>

namespace herd::commands {
namespace {

boost::json::array numbers(const std::vector<TokenId>& ids) {
  return boost::json::array(ids.begin(), ids.end());
}

}  // namespace

std::string to_json_line(const Completion& completion) {
  boost::json::object line;
  line["prompt_token_ids"] = numbers(completion.prompt_token_ids);
  line["token_ids"] = numbers(completion.token_ids);
  line["text"] = completion.text;
  line["finish_reason"] = completion.finish_reason;
  if (!completion.logprobs.empty()) {
    boost::json::array logprobs;
    for (const step::SampledToken& token : completion.logprobs) {
      boost::json::array top;
      for (const step::TokenLogprob& entry : token.top)
        top.push_back(boost::json::array{entry.token, static_cast<double>(entry.logprob)});
      logprobs.push_back(boost::json::object{
          {"token_id", token.token}, {"logprob", static_cast<double>(token.logprob)}, {"top", std::move(top)}});
    }
    line["logprobs"] = std::move(logprobs);
  }
  line["cached_tokens"] = completion.cached_tokens;
  line["timing"] = boost::json::object{{"ttft_s", completion.ttft_s},
                                       {"tpot_s", completion.tpot_s},
                                       {"prefill_tokens_per_s", completion.prefill_tokens_per_s},
                                       {"decode_tokens_per_s", completion.decode_tokens_per_s}};
  return boost::json::serialize(line);
}

}  // namespace herd::commands
