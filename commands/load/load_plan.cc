#include "commands/load/load_plan.h"

#include <cmath>
#include <utility>

#include "commands/load/load_random.h"

namespace herd::load {
namespace {

constexpr std::uint64_t kPlannedTokensMax = 400'000'000;  // 1.6 GB of ids

Status check(const ArrivalOptions& options) {
  if (!(options.burstiness > 0.0)) return usage_error("--burstiness must be above 0");
  if (options.ramp_up == RampUp::kNone) {
    if (!(options.request_rate > 0.0)) return usage_error("--request-rate must be above 0, or inf");
    return {};
  }
  if (!std::isinf(options.request_rate)) return usage_error("--request-rate and --ramp-up-strategy exclude each other");
  if (!(options.ramp_up_start_rps > 0.0) || !std::isfinite(options.ramp_up_end_rps) ||
      !(options.ramp_up_end_rps >= options.ramp_up_start_rps))
    return usage_error("--ramp-up-start-rps must be above 0 and at most --ramp-up-end-rps");
  return {};
}

double rate_at(const ArrivalOptions& options, std::size_t index, std::size_t requests) {
  if (options.ramp_up == RampUp::kNone) return options.request_rate;
  const double progress = static_cast<double>(index) / static_cast<double>(requests > 1 ? requests - 1 : 1);
  const double start = options.ramp_up_start_rps;
  const double end = options.ramp_up_end_rps;
  if (options.ramp_up == RampUp::kLinear) return start + (end - start) * progress;
  return start * portable_exp(portable_log(end / start) * progress);
}

struct LengthRange {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

LengthRange length_range(std::uint32_t length, double ratio, std::uint64_t least) {
  const auto low = static_cast<std::uint64_t>(std::floor(length * (1.0 - ratio)));
  const auto high = static_cast<std::uint64_t>(std::ceil(length * (1.0 + ratio)));
  return {std::max(low, least), std::max(high, least)};
}

Status check(std::size_t requests, const RandomPrompts& prompts, const LengthRange& input) {
  if (!(prompts.range_ratio >= 0.0 && prompts.range_ratio < 1.0))
    return usage_error("--random-range-ratio must be in [0, 1)");
  if (prompts.output_len < 1) return usage_error("--random-output-len must be at least 1");
  if (prompts.prefix_len + input.low < 1)
    return usage_error("--random-input-len and --random-prefix-len leave prompts without a token");
  if (input.high + prompts.prefix_len > kPlannedTokensMax / (requests + 1))
    return usage_error("--num-prompts times the prompt length is more than " + std::to_string(kPlannedTokensMax) +
                       " tokens");
  return {};
}

// Appends `count` draws to the prompt of `request`.
void draw_prompt(const RandomPrompts& prompts, LoadRandom random, std::uint64_t count, PlannedRequest& request) {
  const std::vector<std::string>& words = plain_words();
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!prompts.alphabet.empty()) {
      request.token_ids.push_back(prompts.alphabet[random.below(prompts.alphabet.size())]);
    } else if (prompts.vocab_size > 0) {
      request.token_ids.push_back(static_cast<TokenId>(random.below(prompts.vocab_size)));
    } else {
      if (!request.text.empty()) request.text.push_back(' ');
      request.text += words[random.below(words.size())];
    }
  }
}

}  // namespace

Expected<std::vector<double>> arrival_times(std::size_t requests, const ArrivalOptions& options) {
  if (Status status = check(options); !status.ok()) return fail(status);
  std::vector<double> times(requests, 0.0);
  if (options.ramp_up == RampUp::kNone && std::isinf(options.request_rate)) return times;
  LoadRandom random(options.seed, RandomUse::kArrivals);
  double now = 0.0;
  for (std::size_t i = 0; i < requests; ++i) {
    const double rate = rate_at(options, i, requests);
    const double gap = std::isinf(options.burstiness) ? 1.0 : random.gamma(options.burstiness) / options.burstiness;
    now += gap / rate;
    times[i] = now;
  }
  if (options.ramp_up == RampUp::kNone && now > 0.0) {
    const double scale = static_cast<double>(requests) / options.request_rate / now;
    for (double& time : times) time *= scale;
  }
  return times;
}

Expected<std::vector<PlannedRequest>> random_requests(std::size_t requests, const RandomPrompts& prompts) {
  const LengthRange input = length_range(prompts.input_len, prompts.range_ratio, 0);
  const LengthRange output = length_range(prompts.output_len, prompts.range_ratio, 1);
  if (Status status = check(requests, prompts, input); !status.ok()) return fail(status);
  PlannedRequest prefix;
  draw_prompt(prompts, LoadRandom(prompts.seed, RandomUse::kPrefix), prompts.prefix_len, prefix);
  LoadRandom lengths(prompts.seed, RandomUse::kLengths);
  std::vector<PlannedRequest> plan;
  plan.reserve(requests);
  for (std::size_t i = 0; i < requests; ++i) {
    const std::uint64_t input_tokens = lengths.between(input.low, input.high);
    PlannedRequest request = prefix;
    request.output_tokens = static_cast<std::uint32_t>(lengths.between(output.low, output.high));
    request.prompt_tokens = static_cast<std::uint32_t>(prompts.prefix_len + input_tokens);
    draw_prompt(prompts, LoadRandom(prompts.seed, RandomUse::kPrompts, static_cast<std::uint32_t>(i)), input_tokens,
                request);
    plan.push_back(std::move(request));
  }
  return plan;
}

Expected<std::vector<PlannedRequest>> fill_up(std::vector<PlannedRequest> samples, std::size_t requests,
                                              bool oversample, std::uint64_t seed) {
  if (samples.empty()) return fail(bad_input("the data set holds no usable prompt"));
  if (samples.size() > requests) samples.resize(requests);
  const std::size_t distinct = samples.size();
  LoadRandom random(seed, RandomUse::kPrompts);
  while (oversample && samples.size() < requests) samples.push_back(samples[random.below(distinct)]);
  return samples;
}

void shuffle(std::vector<PlannedRequest>& requests, std::uint64_t seed) {
  LoadRandom random(seed, RandomUse::kShuffle);
  for (std::size_t i = requests.size(); i > 1; --i) std::swap(requests[i - 1], requests[random.below(i)]);
}

const std::vector<std::string>& plain_words() {
  static const std::vector<std::string> kWords = {
      "the",   "of",    "and",   "to",     "in",      "is",     "that",   "for",   "it",    "was",    "on",    "are",
      "as",    "with",  "his",   "they",   "at",      "be",     "this",   "from",  "have",  "or",     "one",   "had",
      "by",    "word",  "but",   "not",    "what",    "all",    "were",   "we",    "when",  "your",   "can",   "said",
      "there", "use",   "an",    "each",   "which",   "she",    "do",     "how",   "their", "if",     "will",  "up",
      "other", "about", "out",   "many",   "then",    "them",   "these",  "so",    "some",  "her",    "would", "make",
      "like",  "him",   "into",  "time",   "has",     "look",   "two",    "more",  "write", "go",     "see",   "number",
      "no",    "way",   "could", "people", "my",      "than",   "first",  "water", "been",  "call",   "who",   "oil",
      "its",   "now",   "find",  "long",   "down",    "day",    "did",    "get",   "come",  "made",   "may",   "part",
      "over",  "new",   "sound", "take",   "only",    "little", "work",   "know",  "place", "year",   "live",  "me",
      "back",  "give",  "most",  "very",   "after",   "thing",  "our",    "just",  "name",  "good",   "man",   "think",
      "say",   "great", "where", "help",   "through", "much",   "before", "line",  "right", "too",    "mean",  "old",
      "any",   "same",  "tell",  "boy",    "follow",  "came",   "want",   "show",  "also",  "around", "form"};
  return kWords;
}

}  // namespace herd::load
