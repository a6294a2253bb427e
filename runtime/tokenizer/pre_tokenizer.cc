#include "runtime/tokenizer/pre_tokenizer.h"

#include <utility>

#include "runtime/text/utf8.h"
#include "runtime/tokenizer/byte_alphabet.h"

namespace herd::tokenizer {
namespace {

std::string with_spaces_as(std::string_view text, std::string_view content) {
  std::string out;
  out.reserve(text.size() * 2);
  for (const char c : text) {
    if (c == ' ') {
      out.append(content);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// Calls use(begin, end, is_match) for each match and each gap, in the text's order.
template <class Use>
void for_each_part(const regex::Pattern& pattern, std::string_view text, regex::Search& search, std::uint64_t& steps, Use use) {
  std::size_t done = 0;
  search.begin(pattern, text);
  while (const auto match = search.next(steps)) {
    if (match->begin > done) use(done, match->begin, false);
    use(match->begin, match->end, true);
    done = match->end;
  }
  while (search.out_of_steps() && done < text.size()) {
    const std::size_t end = done + text::first_code_point(text.substr(done)).size;
    use(done, end, true);
    done = end;
  }
  if (done < text.size()) use(done, text.size(), false);
}

}  // namespace

PreTokenizerStage PreTokenizerStage::split(std::string_view pattern, SplitBehavior behavior, bool invert) {
  PreTokenizerStage stage;
  stage.pattern = pattern;
  stage.behavior = behavior;
  stage.invert = invert;
  return stage;
}

PreTokenizerStage PreTokenizerStage::prefix(std::string_view content, bool only_at_start) {
  PreTokenizerStage stage;
  stage.kind = Kind::kPrefix;
  stage.content = content;
  stage.only_at_start = only_at_start;
  return stage;
}

PreTokenizerStage PreTokenizerStage::spaces(std::string_view content) {
  PreTokenizerStage stage;
  stage.kind = Kind::kSpaces;
  stage.content = content;
  return stage;
}

PreTokenizerStage PreTokenizerStage::byte_alphabet() {
  PreTokenizerStage stage;
  stage.kind = Kind::kByteAlphabet;
  return stage;
}

Expected<PreTokenizer> PreTokenizer::build(const std::vector<PreTokenizerStage>& stages) {
  PreTokenizer built;
  for (const PreTokenizerStage& rule : stages) {
    Stage stage{rule, {}};
    if (rule.kind == PreTokenizerStage::Kind::kSplit) {
      auto pattern = regex::Pattern::compile(rule.pattern);
      if (!pattern) {
        return fail(bad_input("split pattern '" + rule.pattern.substr(0, 200) + "': " + pattern.error().message()));
      }
      stage.pattern.push_back(std::move(*pattern));
    }
    built.stages_.push_back(std::move(stage));
  }
  return built;
}

void PreTokenizer::split(std::string_view text, bool at_start, Pieces& pieces) const {
  pieces.views.clear();
  pieces.owned.clear();
  pieces.searches.resize(stages_.size());
  pieces.steps = 0;
  for (const Stage& stage : stages_) {
    for (const regex::Pattern& pattern : stage.pattern) pieces.steps += pattern.steps_for(text.size());
  }
  split_from(0, text, at_start, pieces);
}

void PreTokenizer::split_from(std::size_t index, std::string_view text, bool at_start, Pieces& pieces) const {
  if (text.empty()) return;
  if (index == stages_.size()) {
    pieces.views.push_back(text);
    return;
  }
  const PreTokenizerStage& rule = stages_[index].rule;
  switch (rule.kind) {
    case PreTokenizerStage::Kind::kSplit:
      split_at_matches(index, text, at_start, pieces);
      return;
    case PreTokenizerStage::Kind::kPrefix:
      if ((at_start || !rule.only_at_start) && !text.starts_with(rule.content)) {
        text = pieces.owned.emplace_back(rule.content).append(text);
      }
      break;
    case PreTokenizerStage::Kind::kSpaces:
      if (text.find(' ') != std::string_view::npos) text = pieces.owned.emplace_back(with_spaces_as(text, rule.content));
      break;
    case PreTokenizerStage::Kind::kByteAlphabet:
      text = pieces.owned.emplace_back(bytes_to_alphabet(text));
      break;
  }
  split_from(index + 1, text, at_start, pieces);
}

void PreTokenizer::split_at_matches(std::size_t index, std::string_view text, bool at_start, Pieces& pieces) const {
  const PreTokenizerStage& rule = stages_[index].rule;
  const regex::Pattern& pattern = stages_[index].pattern.front();
  regex::Search& search = pieces.searches[index];
  const auto hand_on = [&](std::size_t begin, std::size_t end) {
    split_from(index + 1, text.substr(begin, end - begin), at_start && begin == 0, pieces);
  };
  if (rule.behavior == SplitBehavior::kIsolated) {
    for_each_part(pattern, text, search, pieces.steps, [&](std::size_t begin, std::size_t end, bool) { hand_on(begin, end); });
    return;
  }
  std::vector<SplitPart> parts;
  for_each_part(pattern, text, search, pieces.steps, [&](std::size_t begin, std::size_t end, bool is_match) {
    parts.push_back({begin, end, is_match != rule.invert});
  });
  apply_behavior(rule.behavior, parts);
  for (const SplitPart& part : parts) hand_on(part.begin, part.end);
}

}  // namespace herd::tokenizer
