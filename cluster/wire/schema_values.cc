#include "cluster/wire/schema_values.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "cluster/wire/generate_codec.h"

namespace herd::wire {
namespace {

void write_top(capnp::List<schema::TokenLogprob>::Builder to, const std::vector<step::TokenLogprob>& top) {
  for (unsigned i = 0; i < to.size(); ++i) {
    to[i].setToken(top[i].token);
    to[i].setLogprob(top[i].logprob);
  }
}

std::vector<step::TokenLogprob> read_top(capnp::List<schema::TokenLogprob>::Reader from) {
  require(from.size() <= static_cast<std::size_t>(step::kLogprobsMax), "token: more than 20 logprobs");
  std::vector<step::TokenLogprob> top;
  top.reserve(from.size());
  for (const auto entry : from) top.push_back({entry.getToken(), entry.getLogprob()});
  return top;
}

void check_top(const std::vector<step::TokenLogprob>& top, bool finite) {
  require(top.size() <= static_cast<std::size_t>(step::kLogprobsMax), "token: more than 20 logprobs");
  for (const auto& entry : top) {
    require(entry.token >= 0, "token: negative id among its logprobs");
    require(!finite || !std::isnan(entry.logprob), "token: logprob is NaN");
  }
}

void require_at_most(std::size_t count, std::size_t count_max, const char* what) {
  if (count > count_max) throw Refusal{bad_input(std::string(what) + ": more than " + std::to_string(count_max))};
}

// It steers the terminal or the log that shows it.
bool steers(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

Status check_segment_table(std::span<const std::uint64_t> words) {
  constexpr std::uint32_t kSegmentsMax = 16;
  if (words.empty()) return bad_input("no segment table");
  // u32 segments - 1, u32 words of each segment, padding to a whole word.
  const auto entry = [&](std::size_t index) {
    return static_cast<std::uint32_t>(words[index / 2] >> (32 * (index % 2)));
  };
  if (entry(0) >= kSegmentsMax) return bad_input("more than 16 segments");
  const std::size_t segments = entry(0) + 1;
  const std::size_t table_words = segments / 2 + 1;
  if (table_words > words.size()) return bad_input("segment table is cut off");
  std::size_t total = table_words;
  for (std::size_t segment = 0; segment < segments; ++segment) total += entry(1 + segment);
  if (total != words.size()) return bad_input("segments do not add up to the message");
  return {};
}

std::string read_text(capnp::Text::Reader from, std::size_t bytes_max, const char* what) {
  if (from.size() > bytes_max) throw Refusal{bad_input(std::string(what) + ": longer than " + std::to_string(bytes_max) + " bytes")};
  return {from.begin(), from.size()};
}

void check_text(const std::string& value, std::size_t bytes_max, const char* what) {
  if (value.size() > bytes_max) throw Refusal{bad_input(std::string(what) + ": longer than " + std::to_string(bytes_max) + " bytes")};
  if (std::ranges::any_of(value, steers)) throw Refusal{bad_input(std::string(what) + ": holds a control character")};
}

std::string clean_text(const std::string& value, std::size_t bytes_max) {
  std::string cleaned = value.substr(0, bytes_max);
  std::ranges::replace_if(cleaned, steers, ' ');
  return cleaned;
}

void write_texts(capnp::List<capnp::Text>::Builder to, const std::vector<std::string>& texts, std::size_t bytes_max) {
  for (unsigned i = 0; i < to.size(); ++i) to.set(i, text(clean_text(texts[i], bytes_max)));
}

std::vector<std::string> read_texts(capnp::List<capnp::Text>::Reader from, std::size_t count_max, std::size_t bytes_max, const char* what) {
  require_at_most(from.size(), count_max, what);
  std::vector<std::string> texts;
  texts.reserve(from.size());
  for (const auto one : from) texts.push_back(read_text(one, bytes_max, what));
  return texts;
}

void check_texts(const std::vector<std::string>& texts, std::size_t count_max, std::size_t bytes_max, const char* what) {
  require_at_most(texts.size(), count_max, what);
  for (const std::string& one : texts) check_text(one, bytes_max, what);
}

void check_drain_seconds(double seconds) {
  constexpr double kDay = 86'400;
  require(seconds >= 0 && seconds <= kDay, "drains for seconds outside [0, 86400]");
}

void write(schema::Status::Builder to, const Status& status) {
  const auto code = [&] {
    switch (status.code()) {
      case StatusCode::kOk:
        return schema::StatusCode::OK;
      case StatusCode::kUsage:
        return schema::StatusCode::USAGE;
      case StatusCode::kBadInput:
        return schema::StatusCode::BAD_INPUT;
      case StatusCode::kMissing:
        return schema::StatusCode::MISSING;
      case StatusCode::kOverloaded:
        return schema::StatusCode::OVERLOADED;
      case StatusCode::kAborted:
        return schema::StatusCode::ABORTED;
      case StatusCode::kInternal:
        return schema::StatusCode::INTERNAL;
    }
    return schema::StatusCode::UNKNOWN;
  };
  to.setCode(code());
  const std::size_t bytes = std::min(status.message().size(), kErrorMessageBytesMax);
  to.setMessage(capnp::Text::Reader(status.message().substr(0, bytes).c_str(), bytes));
}

Status read_status(schema::Status::Reader from) {
  const auto message = from.getMessage();
  require(message.size() <= kErrorMessageBytesMax, "status: message longer than 4096 bytes");
  std::string text(message.begin(), message.size());
  switch (from.getCode()) {
    case schema::StatusCode::UNKNOWN:
      break;
    case schema::StatusCode::OK:
      require(text.empty(), "status: ok with a message");
      return {};
    case schema::StatusCode::USAGE:
      return {StatusCode::kUsage, std::move(text)};
    case schema::StatusCode::BAD_INPUT:
      return {StatusCode::kBadInput, std::move(text)};
    case schema::StatusCode::MISSING:
      return {StatusCode::kMissing, std::move(text)};
    case schema::StatusCode::OVERLOADED:
      return {StatusCode::kOverloaded, std::move(text)};
    case schema::StatusCode::ABORTED:
      return {StatusCode::kAborted, std::move(text)};
    case schema::StatusCode::INTERNAL:
      return {StatusCode::kInternal, std::move(text)};
  }
  throw Refusal{bad_input("status: unknown code")};
}

void write_clean(schema::Status::Builder to, const Status& status) {
  write(to, Status(status.code(), clean_text(status.message(), kErrorMessageBytesMax)));
}

void check_clean(const Status& status, const char* what) { check_text(status.message(), kErrorMessageBytesMax, what); }

void write(schema::AttemptKey::Builder to, const step::AttemptKey& attempt) {
  to.setGateway(attempt.gateway.value);
  to.setSequence(attempt.sequence.value);
  to.setAttempt(attempt.attempt);
}

step::AttemptKey read_attempt(schema::AttemptKey::Reader from) {
  return {GatewayId(from.getGateway()), SequenceId(from.getSequence()), from.getAttempt()};
}

void write(schema::SamplingParams::Builder to, const step::SamplingParams& params) {
  to.setTemperature(params.temperature);
  to.setTopK(params.top_k);
  to.setTopP(params.top_p);
  to.setMinP(params.min_p);
  to.setRepetitionPenalty(params.repetition_penalty);
  to.setPresencePenalty(params.presence_penalty);
  to.setFrequencyPenalty(params.frequency_penalty);
  to.setSeed(params.seed);
  to.setChoice(params.choice);
  auto bias = to.initLogitBias(static_cast<unsigned>(params.logit_bias.size()));
  for (unsigned i = 0; i < bias.size(); ++i) {
    bias[i].setToken(params.logit_bias[i].first);
    bias[i].setBias(params.logit_bias[i].second);
  }
  to.setStopTokenIds(kj::arrayPtr(params.stop_token_ids.data(), params.stop_token_ids.size()));
  to.setIgnoreEos(params.ignore_eos);
  to.setTokensMin(params.min_tokens);
  to.setLogprobs(params.logprobs);
}

step::SamplingParams read_sampling(schema::SamplingParams::Reader from) {
  step::SamplingParams params;
  params.temperature = from.getTemperature();
  params.top_k = from.getTopK();
  params.top_p = from.getTopP();
  params.min_p = from.getMinP();
  params.repetition_penalty = from.getRepetitionPenalty();
  params.presence_penalty = from.getPresencePenalty();
  params.frequency_penalty = from.getFrequencyPenalty();
  params.seed = from.getSeed();
  params.choice = from.getChoice();
  const auto bias = from.getLogitBias();
  require(bias.size() <= step::kLogitBiasMax, "sampling: more than 1024 logit biases");
  params.logit_bias.reserve(bias.size());
  for (const auto entry : bias) params.logit_bias.emplace_back(entry.getToken(), entry.getBias());
  params.stop_token_ids =
      read_numbers<TokenId>(from.getStopTokenIds(), step::kStopTokensMax, "sampling: more than 128 stop ids");
  params.ignore_eos = from.getIgnoreEos();
  params.min_tokens = from.getTokensMin();
  params.logprobs = from.getLogprobs();
  return params;
}

void check(const step::SamplingParams& params) {
  // The codec does not know the vocabulary; the replica checks against it.
  if (const auto error = params.validate(std::numeric_limits<std::int32_t>::max())) require(usage_error(error->message));
}

void write(schema::SampledToken::Builder to, const step::SampledToken& token) {
  to.setSequence(token.sequence.value);
  to.setOutputIndex(token.output_index);
  to.setToken(token.token);
  to.setLogprob(token.logprob);
  write_top(to.initTop(static_cast<unsigned>(token.top.size())), token.top);
  to.setLogitsHash(token.logits_hash);
  to.setNonFinite(!token.finite);
}

step::SampledToken read_sampled(schema::SampledToken::Reader from) {
  step::SampledToken token;
  token.sequence = SequenceId(from.getSequence());
  token.output_index = from.getOutputIndex();
  token.token = from.getToken();
  token.logprob = from.getLogprob();
  token.top = read_top(from.getTop());
  token.logits_hash = from.getLogitsHash();
  token.finite = !from.getNonFinite();
  return token;
}

void check(const step::SampledToken& token) {
  require(token.token >= 0, "token: negative id");
  require(token.output_index < kSequenceTokensMax, "token: index too large");
  require(!token.finite || !std::isnan(token.logprob), "token: logprob is NaN");
  check_top(token.top, token.finite);
}

void write(schema::OutputRows::Builder to, const step::OutputRows& rows) {
  to.setSequence(rows.sequence.value);
  to.setPosition(rows.position);
  to.setRows(rows.rows);
  to.setLayers(rows.layers);
  to.setWidth(rows.width);
  to.setValues(kj::arrayPtr(rows.values.data(), rows.values.size()));
}

step::OutputRows read_rows(schema::OutputRows::Reader from) {
  step::OutputRows rows;
  rows.sequence = SequenceId(from.getSequence());
  rows.position = from.getPosition();
  rows.rows = from.getRows();
  rows.layers = from.getLayers();
  rows.width = from.getWidth();
  rows.values = read_numbers<float>(from.getValues(), kOutputValuesMax, "rows: too many values");
  return rows;
}

void check(const step::OutputRows& rows) {
  require(rows.rows <= kOutputRowsMax && rows.position <= kSequenceTokensMax - rows.rows, "rows: too many rows");
  require(rows.layers >= 1 && rows.layers <= kOutputLayersMax, "rows: layers outside [1, 1024]");
  require(rows.width <= kOutputWidthMax, "rows: too wide");
  // 2^20 * 2^10 * 2^22 does not overflow.
  require(std::uint64_t{rows.rows} * rows.layers * rows.width == rows.values.size(),
          "rows: values are not layers * rows * width");
}

void write(schema::PromptLogprobs::Builder to, const step::PromptLogprobs& run) {
  to.setSequence(run.sequence.value);
  to.setPosition(run.position);
  auto tokens = to.initTokens(static_cast<unsigned>(run.tokens.size()));
  for (unsigned i = 0; i < tokens.size(); ++i) {
    const step::PromptLogprob& entry = run.tokens[i];
    tokens[i].setToken(entry.token);
    tokens[i].setLogprob(entry.logprob);
    write_top(tokens[i].initTop(static_cast<unsigned>(entry.top.size())), entry.top);
  }
}

step::PromptLogprobs read_prompt_logprobs(schema::PromptLogprobs::Reader from) {
  step::PromptLogprobs run;
  run.sequence = SequenceId(from.getSequence());
  run.position = from.getPosition();
  const auto tokens = from.getTokens();
  require(tokens.size() <= kSequenceTokensMax, "prompt logprobs: more than 2^20 tokens");
  run.tokens.reserve(tokens.size());
  for (const auto entry : tokens)
    run.tokens.push_back({entry.getToken(), entry.getLogprob(), read_top(entry.getTop())});
  return run;
}

void check(const step::PromptLogprobs& run) {
  require(run.position >= 1, "prompt logprobs: of the first token");
  require(run.tokens.size() <= kSequenceTokensMax && run.position <= kSequenceTokensMax - run.tokens.size(),
          "prompt logprobs: end beyond 2^20");
  for (const auto& entry : run.tokens) {
    require(entry.token >= 0, "prompt logprobs: negative id");
    check_top(entry.top, true);
  }
}

schema::OutputSelector to_schema(step::OutputSelector selector) {
  switch (selector) {
    case step::OutputSelector::kNone:
      return schema::OutputSelector::NONE;
    case step::OutputSelector::kLogitsLast:
      return schema::OutputSelector::LOGITS_LAST;
    case step::OutputSelector::kLogitsAll:
      return schema::OutputSelector::LOGITS_ALL;
    case step::OutputSelector::kHiddenLast:
      return schema::OutputSelector::HIDDEN_LAST;
    case step::OutputSelector::kHiddenAll:
      return schema::OutputSelector::HIDDEN_ALL;
    case step::OutputSelector::kHiddenAllNormalized:
      return schema::OutputSelector::HIDDEN_ALL_NORMALIZED;
    case step::OutputSelector::kHiddenAllLayers:
      return schema::OutputSelector::HIDDEN_ALL_LAYERS;
    case step::OutputSelector::kPromptLogprobs:
      return schema::OutputSelector::PROMPT_LOGPROBS;
  }
  return schema::OutputSelector::UNKNOWN;
}

step::OutputSelector read_selector(schema::OutputSelector selector) {
  switch (selector) {
    case schema::OutputSelector::UNKNOWN:
      break;
    case schema::OutputSelector::NONE:
      return step::OutputSelector::kNone;
    case schema::OutputSelector::LOGITS_LAST:
      return step::OutputSelector::kLogitsLast;
    case schema::OutputSelector::LOGITS_ALL:
      return step::OutputSelector::kLogitsAll;
    case schema::OutputSelector::HIDDEN_LAST:
      return step::OutputSelector::kHiddenLast;
    case schema::OutputSelector::HIDDEN_ALL:
      return step::OutputSelector::kHiddenAll;
    case schema::OutputSelector::HIDDEN_ALL_NORMALIZED:
      return step::OutputSelector::kHiddenAllNormalized;
    case schema::OutputSelector::HIDDEN_ALL_LAYERS:
      return step::OutputSelector::kHiddenAllLayers;
    case schema::OutputSelector::PROMPT_LOGPROBS:
      return step::OutputSelector::kPromptLogprobs;
  }
  throw Refusal{bad_input("output selector: unknown")};
}

void check_token_ids(std::span<const TokenId> tokens, const char* what) {
  require(std::ranges::all_of(tokens, [](TokenId token) { return token >= 0; }), what);
}

}  // namespace herd::wire
