#include "runtime/tokenizer/normalizer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/clustered_charsmap.h"
#include "runtime/tokenizer/marked_writer.h"
#include "runtime/tokenizer/text_growth.h"
#include "runtime/unicode/letter_case.h"
#include "runtime/unicode/normal_forms.h"

namespace herd::tokenizer {
namespace {

using Kind = NormalizerStep::Kind;
using text::ByteRange;
using text::MarkedText;

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// ASCII stays; a stretch of other characters is put into the form together with the ASCII character before it.
MarkedText normal_form(unicode::NormalForm form, const MarkedText& text) {
  const std::string& bytes = text.bytes;
  if (std::all_of(bytes.begin(), bytes.end(), is_ascii)) return text;
  MarkReader marks(text);
  MarkedWriter out(text);
  std::vector<unicode::TaggedPoint> points;
  for (std::size_t i = 0; i < bytes.size();) {
    std::size_t ascii_end = i;
    while (ascii_end < bytes.size() && is_ascii(bytes[ascii_end])) ++ascii_end;
    std::size_t begin = ascii_end;
    if (begin > i && begin < bytes.size()) --begin;
    out.copy(i, begin);
    points.clear();
    i = begin;
    while (i < bytes.size() && (points.empty() || !is_ascii(bytes[i]))) {
      const text::CodePoint next = text::first_code_point(std::string_view(bytes).substr(i));
      points.push_back({next.value, marks.any(i, i + next.size)});
      i += next.size;
    }
    unicode::normalize(form, points);
    for (const auto& [point, foreign] : points) out.append(point, foreign);
  }
  return out.take();
}

MarkedText lower_case(const MarkedText& text) {
  MarkReader marks(text);
  MarkedWriter out(text);
  std::u32string lower;
  for (std::size_t i = 0; i < text.bytes.size();) {
    const text::CodePoint next = text::first_code_point(std::string_view(text.bytes).substr(i));
    const bool foreign = marks.any(i, i + next.size);
    lower.clear();
    unicode::append_lower_case(next.value, lower);
    for (const char32_t point : lower) out.append(point, foreign);
    i += next.size;
  }
  return out.take();
}

MarkedText prepend(std::string_view content, const MarkedText& text) {
  if (text.bytes.empty()) return text;
  MarkedWriter out(text);
  out.append(content, false);
  out.copy(0, text.bytes.size());
  return out.take();
}

MarkedText strip(const MarkedText& text, bool left, bool right) {
  const std::string_view bytes = text.bytes;
  std::size_t begin = 0;
  while (left && begin < bytes.size()) {
    const text::CodePoint next = text::first_code_point(bytes.substr(begin));
    if (!text::is_white_space(next.value)) break;
    begin += next.size;
  }
  std::size_t end = bytes.size();
  while (right && end > begin) {
    std::size_t last = end - 1;
    while (last > begin && (static_cast<unsigned char>(bytes[last]) & 0xC0) == 0x80) --last;
    if (!text::is_white_space(text::first_code_point(bytes.substr(last)).value)) break;
    end = last;
  }
  MarkedWriter out(text);
  out.copy(begin, end);
  return out.take();
}

// find(from) gives the next place that is replaced, or nothing.
template <class Find>
MarkedText replace(const MarkedText& text, std::string_view content, Find find) {
  MarkReader marks(text);
  MarkedWriter out(text);
  std::size_t done = 0;
  while (const auto match = find(done)) {
    out.copy(done, match->begin);
    out.append(content, marks.any(match->begin, match->end));
    done = match->end;
  }
  out.copy(done, text.bytes.size());
  return out.take();
}

MarkedText replace_text(const MarkedText& text, std::string_view pattern, std::string_view content) {
  if (pattern.empty()) return text;
  return replace(text, content, [&](std::size_t from) -> std::optional<ByteRange> {
    const std::size_t found = text.bytes.find(pattern, from);
    if (found == std::string::npos) return std::nullopt;
    return ByteRange{found, found + pattern.size()};
  });
}

MarkedText replace_matches(const MarkedText& text, const regex::Pattern& pattern, std::string_view content) {
  regex::Search search;
  search.begin(pattern, text.bytes);
  std::uint64_t steps = pattern.steps_for(text.bytes.size());
  return replace(text, content, [&](std::size_t) -> std::optional<ByteRange> {
    const auto match = search.next(steps);
    if (!match) return std::nullopt;
    return ByteRange{match->begin, match->end};
  });
}

}  // namespace

Expected<Normalizer> Normalizer::build(const std::vector<NormalizerStep>& steps) {
  Normalizer built;
  double growth = 1.0;
  for (const NormalizerStep& rule : steps) {
    Step step{rule, {}, {}};
    if (rule.kind == Kind::kPrecompiled) {
      auto charsmap = Charsmap::parse(rule.pattern);
      if (!charsmap) return fail(bad_input("normalizer: " + charsmap.error().message()));
      step.charsmap = std::move(*charsmap);
      step.rule.pattern = {};
    }
    if (rule.kind == Kind::kReplace && rule.is_regex) {
      auto pattern = regex::Pattern::compile(rule.pattern);
      if (!pattern) return fail(bad_input("normalizer: pattern '" + rule.pattern.substr(0, 200) + "': " + pattern.error().message()));
      step.pattern.push_back(std::move(*pattern));
    }
    growth *= growth_of(step);
    if (growth > kGrowthMax) {
      return fail(bad_input("normalizer: its steps may make a text more than " + std::to_string(static_cast<int>(kGrowthMax)) +
                            " times as long"));
    }
    built.steps_.push_back(std::move(step));
  }
  return built;
}

// In bytes of UTF-8, at most.
double Normalizer::growth_of(const Step& step) {
  const NormalizerStep& rule = step.rule;
  switch (rule.kind) {
    case Kind::kNfc:
    case Kind::kNfd:
      return 3.0;  // U+1D160
    case Kind::kNfkc:
    case Kind::kNfkd:
      return 11.0;  // U+FDFA
    case Kind::kLowercase:
      return 1.5;  // U+023A
    case Kind::kPrepend:
      return 1.0 + static_cast<double>(rule.content.size());
    case Kind::kReplace:
      if (rule.is_regex) return growth_of_matches(step.pattern.front(), rule.content);
      return rule.pattern.empty() ? 1.0 : growth_of_text(rule.pattern, rule.content);
    case Kind::kStrip:
      return 1.0;
    case Kind::kPrecompiled:
      return std::max(1.0, static_cast<double>(step.charsmap.text_bytes_max()));
  }
  return 1.0;
}

MarkedText Normalizer::apply(MarkedText text) const {
  for (const Step& step : steps_) text = apply(step, std::move(text));
  return text;
}

MarkedText Normalizer::apply(const Step& step, MarkedText text) {
  const NormalizerStep& rule = step.rule;
  switch (rule.kind) {
    case Kind::kNfc:
      return normal_form(unicode::NormalForm::kNfc, text);
    case Kind::kNfd:
      return normal_form(unicode::NormalForm::kNfd, text);
    case Kind::kNfkc:
      return normal_form(unicode::NormalForm::kNfkc, text);
    case Kind::kNfkd:
      return normal_form(unicode::NormalForm::kNfkd, text);
    case Kind::kLowercase:
      return lower_case(text);
    case Kind::kPrepend:
      return prepend(rule.content, text);
    case Kind::kReplace:
      return rule.is_regex ? replace_matches(text, step.pattern.front(), rule.content)
                           : replace_text(text, rule.pattern, rule.content);
    case Kind::kStrip:
      return strip(text, rule.left, rule.right);
    case Kind::kPrecompiled:
      return apply_to_clusters(step.charsmap, text);
  }
  return text;
}

}  // namespace herd::tokenizer
