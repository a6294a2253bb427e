#include "runtime/checkpoint/generation_config.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "runtime/checkpoint/json_object.h"

namespace herd::model {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr std::size_t kEosIdsMax = 1024;

// What changes the tokens that transformers generates, and what each says when it changes none.
struct NotApplied {
  const char* key;
  double neutral;  // empty lists and objects and false are neutral everywhere
};
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr NotApplied kNotApplied[] = {
    {"bad_words_ids", kNone},           {"begin_suppress_tokens", kNone}, {"constraints", kNone},
    {"epsilon_cutoff", 0.0},            {"eta_cutoff", 0.0},              {"exponential_decay_length_penalty", kNone},
    {"force_words_ids", kNone},         {"forced_bos_token_id", kNone},   {"forced_eos_token_id", kNone},
    {"guidance_scale", 1.0},            {"max_time", kNone},              {"min_length", 0.0},
    {"min_new_tokens", 0.0},            {"no_repeat_ngram_size", 0.0},    {"num_beams", 1.0},
    {"penalty_alpha", 0.0},             {"sequence_bias", kNone},         {"stop_strings", kNone},
    {"suppress_tokens", kNone},         {"top_h", kNone},                 {"typical_p", 1.0},
    {"watermarking_config", kNone},
};

std::optional<double> number_in(const std::string& text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// One file being read. The values are judged here and not by the JSON's own accessors, which refuse the file.
class Reader {
 public:
  Reader(const JsonObject& json, std::string_view file, GenerationConfig& config)
      : json_(json), file_(file), config_(config) {}

  std::optional<double> number(const char* key, double min, double max) {
    if (!json_.has(key)) return {};
    const std::string text = json_.text_of(key);
    const auto value = number_in(text);
    if (value && *value >= min && *value <= max) return value;
    leave_out(key, text, "in [" + shown(min) + ", " + shown(max) + "]");
    return {};
  }

  std::optional<int> integer(const char* key, int min) {
    if (!json_.has(key)) return {};
    const std::string text = json_.text_of(key);
    const auto value = number_in(text);
    if (value && *value >= min && *value <= kIntMax && *value == static_cast<int>(*value))
      return static_cast<int>(*value);
    leave_out(key, text, "a whole number from " + std::to_string(min) + " on");
    return {};
  }

  // Nothing here depends on them: they are not judged. Negative stands for "none" in some old files.
  std::optional<TokenId> id(const char* key) {
    const auto value = number_in(json_.text_of(key));
    if (!value || !(*value >= 0 && *value <= kIntMax) || *value != static_cast<TokenId>(*value)) return {};
    return static_cast<TokenId>(*value);
  }

  std::optional<bool> boolean(const char* key) {
    if (!json_.has(key)) return {};
    const std::string text = json_.text_of(key);
    if (text == "true" || text == "false") return text == "true";
    leave_out(key, text, "true or false");
    return {};
  }

  void name_what_is_not_applied() {
    for (const NotApplied& entry : kNotApplied) {
      if (!json_.has(entry.key)) continue;
      const std::string text = json_.text_of(entry.key);
      if (text == "[]" || text == "{}" || text == "false" || number_in(text) == entry.neutral) continue;
      config_.warnings.push_back(file_ + ": " + entry.key + ": " + text + " is not applied");
    }
  }

 private:
  static std::string shown(double value) {
    char text[32];
    const auto [end, error] = std::to_chars(text, text + sizeof text, value);
    return {text, error == std::errc{} ? end : text};
  }

  void leave_out(const char* key, const std::string& text, const std::string& wanted) {
    config_.warnings.push_back(file_ + ": " + key + ": " + text + " is not " + wanted + " and is left out");
  }

  const JsonObject& json_;
  const std::string file_;
  GenerationConfig& config_;
};

}  // namespace

Expected<GenerationConfig> parse_generation_config(std::string_view text, std::string_view file) {
  auto parsed = JsonObject::parse(text, file);
  if (!parsed) return fail(parsed.error());
  const JsonObject& json = *parsed;
  GenerationConfig config;
  const std::vector<std::int64_t> eos_ids = json.integers("eos_token_id", -1, kIntMax);
  if (eos_ids.size() > kEosIdsMax) json.refuse("eos_token_id", "has more than 1024 ids");
  for (const std::int64_t id : std::span(eos_ids).first(std::min(eos_ids.size(), kEosIdsMax))) {
    const auto eos = static_cast<TokenId>(id);
    if (eos >= 0 && std::find(config.eos_ids.begin(), config.eos_ids.end(), eos) == config.eos_ids.end()) {
      config.eos_ids.push_back(eos);
    }
  }
  Reader reader(json, file, config);
  config.bos_id = reader.id("bos_token_id");
  config.pad_id = reader.id("pad_token_id");
  config.do_sample = reader.boolean("do_sample");
  config.temperature = reader.number("temperature", 0.0, 100.0);
  config.top_p = reader.number("top_p", 0.0, 1.0);
  config.top_k = reader.integer("top_k", -1);
  config.min_p = reader.number("min_p", 0.0, 1.0);
  config.repetition_penalty = reader.number("repetition_penalty", 1e-6, 100.0);
  config.max_length = reader.integer("max_length", 0);
  config.max_new_tokens = reader.integer("max_new_tokens", 0);
  reader.name_what_is_not_applied();
  if (config.do_sample == false) config.temperature = 0.0;  // the model's word: greedy unless a request says otherwise
  if (!json.status().ok()) return fail(json.status());
  return config;
}

}  // namespace herd::model
