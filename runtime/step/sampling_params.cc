#include "runtime/step/sampling_params.h"

#include <array>
#include <charconv>
#include <unordered_set>

namespace herd::step {
namespace {

// `part` names what of the field is meant, where it is not the whole value.
template <class Number>
FieldError out_of_range(const char* field, Number value, const char* range, const char* part = "") {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {field, std::string(field) + part + " must be " + range + ", not " + std::string(text.data(), end)};
}

bool inside(float value, float low, float high) { return value >= low && value <= high; }  // false for NaN

}  // namespace

std::optional<FieldError> SamplingParams::validate(std::int32_t vocab_size) const {
  if (!inside(temperature, 0.0F, 100.0F)) return out_of_range("temperature", temperature, "in [0, 100]");
  if (top_k < -1) return out_of_range("top_k", top_k, "-1, 0 (all) or at least 1");
  if (!inside(top_p, 0.0F, 1.0F)) return out_of_range("top_p", top_p, "in [0, 1]");
  if (!inside(min_p, 0.0F, 1.0F)) return out_of_range("min_p", min_p, "in [0, 1]");
  if (!(repetition_penalty > 0.0F && repetition_penalty <= 100.0F))
    return out_of_range("repetition_penalty", repetition_penalty, "in (0, 100]");
  if (!inside(presence_penalty, -2.0F, 2.0F)) return out_of_range("presence_penalty", presence_penalty, "in [-2, 2]");
  if (!inside(frequency_penalty, -2.0F, 2.0F))
    return out_of_range("frequency_penalty", frequency_penalty, "in [-2, 2]");
  if (logit_bias.size() > kLogitBiasMax)
    return out_of_range("logit_bias", logit_bias.size(), "of at most 1024 entries");
  std::unordered_set<TokenId> biased;
  for (const auto& [token, bias] : logit_bias) {
    if (token < 0 || token >= vocab_size) return out_of_range("logit_bias", token, "inside the vocabulary", ": token id");
    if (!inside(bias, -100.0F, 100.0F)) return out_of_range("logit_bias", bias, "in [-100, 100]");
    if (!biased.insert(token).second)
      return FieldError{"logit_bias", "logit_bias names token id " + std::to_string(token) + " twice"};
  }
  if (stop_token_ids.size() > kStopTokensMax)
    return out_of_range("stop_token_ids", stop_token_ids.size(), "of at most 128 ids");
  for (const TokenId token : stop_token_ids)
    if (token < 0 || token >= vocab_size) return out_of_range("stop_token_ids", token, "inside the vocabulary");
  if (logprobs < -1 || logprobs > kLogprobsMax) return out_of_range("logprobs", logprobs, "in [0, 20]");
  return std::nullopt;
}

}  // namespace herd::step
