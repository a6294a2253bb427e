#include "endpoint/openai/generation_fields.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <tuple>

#include <boost/json/value.hpp>

#include "endpoint/openai/neutral_fields.h"

namespace herd::openai {
namespace {

namespace json = boost::json;

constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kModelBytesMax = 1024;
// A logit divided by it is finite. What is smaller, but above 0, orders the tokens alike.
constexpr float kRepetitionPenaltyMin = 1e-30F;

void read_lengths(JsonFields& fields, std::uint32_t max_tokens_min, GenerationFields& generation) {
  const auto old_name = fields.integer("max_tokens", max_tokens_min, kInt32Max);
  const auto new_name = fields.integer("max_completion_tokens", max_tokens_min, kInt32Max);
  if (old_name && new_name && *old_name != *new_name)
    fields.refuse("max_completion_tokens", "and max_tokens are the same limit and must not differ");
  if (old_name || new_name) generation.max_tokens = static_cast<std::uint32_t>(new_name ? *new_name : *old_name);
  generation.min_tokens = static_cast<std::uint32_t>(fields.integer("min_tokens", 0, kInt32Max).value_or(0));
  if (generation.max_tokens && generation.min_tokens > *generation.max_tokens)
    fields.refuse("min_tokens", "must not be above max_tokens, " + std::to_string(*generation.max_tokens));
}

void read_choices(JsonFields& fields, const RequestLimits& limits, GenerationFields& generation) {
  generation.n = static_cast<std::uint32_t>(fields.integer("n", 1, limits.n_max).value_or(1));
  const json::value* best_of = fields.find("best_of");
  if (best_of == nullptr) return;
  const auto best = read_integer(*best_of, fields.path_of("best_of"), 1, kInt32Max, fields.refusal());
  if (best && *best != generation.n) fields.refuse("best_of", "is not supported: leave it out, or equal to n");
}

// Ranges: runtime/step/sampling_params.h.
void read_sampling(JsonFields& fields, GenerationFields& generation) {
  generation.temperature = fields.number("temperature", {0.0, 100.0});
  generation.top_p = fields.number("top_p", {0.0, 1.0});
  generation.min_p = fields.number("min_p", {0.0, 1.0});
  const auto repetition = fields.number("repetition_penalty", {std::numeric_limits<double>::denorm_min(), 100.0});
  if (repetition) generation.repetition_penalty = std::max(*repetition, kRepetitionPenaltyMin);
  if (const auto top_k = fields.integer("top_k", -1, kInt32Max)) generation.top_k = static_cast<std::int32_t>(*top_k);
  generation.presence_penalty = fields.number("presence_penalty", {-2.0, 2.0}).value_or(0.0F);
  generation.frequency_penalty = fields.number("frequency_penalty", {-2.0, 2.0}).value_or(0.0F);
  using Seed = std::numeric_limits<std::int64_t>;
  const auto seed = fields.integer("seed", Seed::min(), Seed::max());
  if (seed) generation.seed = static_cast<std::uint64_t>(*seed);
}

// Decimal without sign or leading zeros, so that no id has two spellings.
std::optional<TokenId> token_of_key(std::string_view key, std::int32_t vocab_size) {
  TokenId token = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
  const bool whole = error == std::errc() && end == key.data() + key.size();
  const bool canonical = key == "0" || (!key.starts_with('0') && !key.starts_with('-'));
  return whole && canonical && token < vocab_size ? std::optional(token) : std::nullopt;
}

void read_logit_bias(JsonFields& fields, std::int32_t vocab_size, GenerationFields& generation) {
  const json::object* biases = fields.object("logit_bias");
  if (biases == nullptr) return;
  const JsonPath path = fields.path_of("logit_bias");
  if (biases->size() > step::kLogitBiasMax) {
    fields.refuse("logit_bias", "must hold at most " + std::to_string(step::kLogitBiasMax) + " ids, not " +
                                    std::to_string(biases->size()));
    return;
  }
  generation.logit_bias.reserve(biases->size());
  for (const auto& [key, value] : *biases) {
    const std::string_view written(key.data(), key.size());
    const auto token = token_of_key(written, vocab_size);
    if (!token) {
      fields.refuse("logit_bias", "has the key \"" + shown_key(written) + "\", which is not a token id in [0, " +
                                      std::to_string(vocab_size) + ")");
      return;
    }
    const auto bias = read_number(value, {&path, written}, {-100.0, 100.0}, fields.refusal());
    if (!bias) return;
    generation.logit_bias.emplace_back(*token, *bias);
  }
}

void add_stop(const json::value& value, const JsonPath& path, const RequestLimits& limits, Refusal& refusal,
              std::vector<std::string>& stop) {
  const auto text = read_string(value, path, refusal);
  if (!text) return;
  if (text->empty()) return refusal.add(path, "must not be empty");
  if (text->size() > limits.stop_bytes_max)
    return refusal.add(path, "must be at most " + std::to_string(limits.stop_bytes_max) + " bytes long, not " +
                                 std::to_string(text->size()));
  stop.emplace_back(*text);
}

void read_stop(JsonFields& fields, const RequestLimits& limits, GenerationFields& generation) {
  const json::value* stop = fields.find("stop");
  if (stop == nullptr) return;
  const JsonPath path = fields.path_of("stop");
  if (stop->is_string()) return add_stop(*stop, path, limits, fields.refusal(), generation.stop);
  const json::array* list = stop->if_array();
  if (list == nullptr) return refuse_value(*stop, path, "a string or an array of strings", fields.refusal());
  if (list->size() > limits.stop_max)
    return fields.refuse("stop", "must hold at most " + std::to_string(limits.stop_max) + " strings, not " +
                                     std::to_string(list->size()));
  for (std::size_t i = 0; i < list->size() && !fields.refusal().any(); ++i)
    add_stop((*list)[i], {&path, {}, i}, limits, fields.refusal(), generation.stop);
}

void read_ends(JsonFields& fields, const RequestLimits& limits, GenerationFields& generation) {
  read_stop(fields, limits, generation);
  if (const json::array* ids = fields.array("stop_token_ids")) {
    if (ids->size() > step::kStopTokensMax)
      fields.refuse("stop_token_ids", "must hold at most " + std::to_string(step::kStopTokensMax) + " ids, not " +
                                          std::to_string(ids->size()));
    else
      generation.stop_token_ids =
          read_token_ids(*ids, fields.path_of("stop_token_ids"), limits.vocab_size, fields.refusal());
  }
  generation.include_stop_str_in_output = fields.boolean("include_stop_str_in_output").value_or(false);
  generation.skip_special_tokens = fields.boolean("skip_special_tokens").value_or(true);
  generation.ignore_eos = fields.boolean("ignore_eos").value_or(false);
}

void read_stream(JsonFields& fields, GenerationFields& generation) {
  generation.stream = fields.boolean("stream").value_or(false);
  const json::object* options = fields.object("stream_options");
  if (options == nullptr) return;
  if (!generation.stream) return fields.refuse("stream_options", "is only allowed when stream is true");
  const JsonPath path = fields.path_of("stream_options");
  JsonFields members(*options, &path, fields.refusal());
  generation.include_usage = members.boolean("include_usage").value_or(false);
  generation.continuous_usage = members.boolean("continuous_usage_stats").value_or(false);
  std::ignore = members.boolean("include_obfuscation");  // padding against traffic analysis: never sent
  members.judge_unknown();
}

void read_priority(JsonFields& fields, const RequestLimits& limits, GenerationFields& generation) {
  const auto priority = fields.integer("priority", std::numeric_limits<std::int32_t>::min(), kInt32Max);
  if (!priority) return;
  if (*priority != 0 && !limits.priorities)
    return fields.refuse("priority", "must be 0: this server does not schedule by priority");
  generation.priority = static_cast<std::int32_t>(*priority);
}

}  // namespace

void refuse_length(const JsonPath& path, std::size_t held, std::size_t most, const char* what, Refusal& refusal) {
  if (refusal.any()) return;
  std::string where = path.text();
  ApiError error = context_length_exceeded(where + " holds " + std::to_string(held) + " " + what +
                                           "; with this model's context it may hold at most " + std::to_string(most));
  error.param = std::move(where);
  refusal.add(std::move(error));
}

std::vector<TokenId> read_token_ids(const json::array& ids, const JsonPath& path, std::int32_t vocab_size,
                                    Refusal& refusal) {
  std::vector<TokenId> tokens;
  tokens.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto token = read_integer(ids[i], {&path, {}, i}, 0, static_cast<std::int64_t>(vocab_size) - 1, refusal);
    if (!token) return {};
    tokens.push_back(static_cast<TokenId>(*token));
  }
  return tokens;
}

std::string read_model(JsonFields& fields) {
  const std::string_view model = fields.name("model").value_or("");
  if (model.size() > kModelBytesMax) fields.refuse("model", "must be at most 1024 bytes long");
  return std::string(model.substr(0, kModelBytesMax));
}

void read_generation(JsonFields& fields, const RequestLimits& limits, std::uint32_t max_tokens_min,
                     GenerationFields& generation) {
  generation.model = read_model(fields);
  read_lengths(fields, max_tokens_min, generation);
  read_choices(fields, limits, generation);
  read_sampling(fields, generation);
  read_logit_bias(fields, limits.vocab_size, generation);
  read_ends(fields, limits, generation);
  read_stream(fields, generation);
  read_priority(fields, limits, generation);
  generation.return_token_ids = fields.boolean("return_token_ids").value_or(false);
  read_neutral(fields, generation_neutral_fields());
}

}  // namespace herd::openai
