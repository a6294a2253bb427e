#include "runtime/tokenizer/pre_tokenizer.h"

#include "kernels/check.h"
#include "runtime/text/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <limits>

namespace herd::tokenizer {
namespace {

// How tokenizer.json spells the patterns.
constexpr std::string_view kLlama3Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// PCRE2's \s takes U+180E, which left White_Space in Unicode 6.3: the patterns below write the property out.
#define HERD_SPACE R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"

const char* pcre2_source(SplitPattern pattern) {
  switch (pattern) {
    case SplitPattern::kLlama3:
      return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\p{L}\p{N})" HERD_SPACE
             R"(]+[\r\n]*|[)" HERD_SPACE R"(]*[\r\n]+|[)" HERD_SPACE R"(]+(?![^)" HERD_SPACE R"(])|[)" HERD_SPACE "]+";
    case SplitPattern::kGpt2:
      return R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{L}\p{N})" HERD_SPACE
             R"(]+|[)" HERD_SPACE R"(]+(?![^)" HERD_SPACE R"(])|[)" HERD_SPACE "]+";
    case SplitPattern::kDigit:
      return R"(\p{N})";
    case SplitPattern::kDigits:
      return R"(\p{N}+)";
  }
  HERD_UNREACHABLE("unknown split pattern");
}

#undef HERD_SPACE

}  // namespace

struct PreTokenizer::CompiledPattern {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  bool jit = false;

  explicit CompiledPattern(SplitPattern pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre2_source(pattern)), PCRE2_ZERO_TERMINATED,
                         PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    context = pcre2_match_context_create(nullptr);
    HERD_CHECK(code != nullptr && context != nullptr, "built-in split pattern does not compile");
    // A run of n white-space characters costs about n steps and is consumed by the match that paid for them, so
    // time is linear without PCRE2's default limit of 10 M steps, which a long run of spaces would meet.
    pcre2_set_match_limit(context, std::numeric_limits<std::uint32_t>::max());
    jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;  // refused on hardened systems: interpret
  }
  CompiledPattern(const CompiledPattern&) = delete;
  CompiledPattern& operator=(const CompiledPattern&) = delete;
  ~CompiledPattern() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

// Where one call of split() puts its matches; the ovector needs the whole match only.
class PreTokenizer::MatchData {
 public:
  MatchData() : data_(pcre2_match_data_create(1, nullptr)) { HERD_CHECK(data_ != nullptr, "out of memory"); }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  ~MatchData() { pcre2_match_data_free(data_); }
  [[nodiscard]] pcre2_match_data* get() const { return data_; }

 private:
  pcre2_match_data* data_;
};

std::optional<SplitPattern> known_split_pattern(std::string_view regex) {
  if (regex == kLlama3Regex) return SplitPattern::kLlama3;
  if (regex == kGpt2Regex) return SplitPattern::kGpt2;
  if (regex == R"(\p{N})") return SplitPattern::kDigit;
  if (regex == R"(\p{N}+)") return SplitPattern::kDigits;
  return std::nullopt;
}

// Compiled at first use, shared by all tokenizers, never freed: threads may still encode while the process ends.
const PreTokenizer::CompiledPattern& PreTokenizer::compiled(SplitPattern pattern) {
  switch (pattern) {
    case SplitPattern::kLlama3: {
      static const auto& kPattern = *new const CompiledPattern(SplitPattern::kLlama3);
      return kPattern;
    }
    case SplitPattern::kGpt2: {
      static const auto& kPattern = *new const CompiledPattern(SplitPattern::kGpt2);
      return kPattern;
    }
    case SplitPattern::kDigit: {
      static const auto& kPattern = *new const CompiledPattern(SplitPattern::kDigit);
      return kPattern;
    }
    case SplitPattern::kDigits: {
      static const auto& kPattern = *new const CompiledPattern(SplitPattern::kDigits);
      return kPattern;
    }
  }
  HERD_UNREACHABLE("unknown split pattern");
}

PreTokenizer::PreTokenizer(const std::vector<PreTokenizerStage>& stages) {
  for (const PreTokenizerStage& stage : stages) {
    stages_.push_back({stage.pattern ? &compiled(*stage.pattern) : nullptr, stage.prefix_space});
  }
}

void PreTokenizer::split(std::string_view text, Pieces& pieces) const {
  if (!text.empty()) split_from(0, text, MatchData(), pieces);
}

void PreTokenizer::split_from(std::size_t index, std::string_view text, const MatchData& match,
                              Pieces& pieces) const {
  if (index == stages_.size()) {
    pieces.views.push_back(text);
    return;
  }
  const Stage& stage = stages_[index];
  if (stage.prefix_space && text.front() != ' ') {
    text = pieces.owned.emplace_back(" ").append(text);
  }
  if (stage.pattern == nullptr) {
    split_from(index + 1, text, match, pieces);
    return;
  }

  const CompiledPattern& pattern = *stage.pattern;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t position = 0;
  while (position < text.size()) {
    // The text was validated once; checking it again at each match would be quadratic.
    const int found = (pattern.jit ? pcre2_jit_match : pcre2_match)(
        pattern.code, subject, text.size(), position, PCRE2_NO_UTF_CHECK, match.get(), pattern.context);
    std::size_t begin = position;
    std::size_t end = text.size();  // no match: the rest is one gap
    if (found >= 0) {
      begin = pcre2_get_ovector_pointer(match.get())[0];
      end = pcre2_get_ovector_pointer(match.get())[1];
    }
    if (found < 0 ? found != PCRE2_ERROR_NOMATCH : end <= begin) {
      // A limit or an empty match: one code point as a piece, so that each turn moves on.
      begin = position;
      end = position + text::first_code_point(text.substr(position)).size;
    }
    if (begin > position) split_from(index + 1, text.substr(position, begin - position), match, pieces);
    split_from(index + 1, text.substr(begin, end - begin), match, pieces);
    position = end;
  }
}

}  // namespace herd::tokenizer
