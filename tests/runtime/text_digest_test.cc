// Everything that a tokenizer or a template says is in the text digest.

#include "runtime/tokenizer/text_digest.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

namespace herd::tokenizer {
namespace {

TokenizerDefinition small() {
  TokenizerDefinition definition;
  definition.tokens = {{"a", TokenKind::kOrdinary}, {"b", TokenKind::kOrdinary}, {"ab", TokenKind::kOrdinary},
                       {"<s>", TokenKind::kSpecial}};
  definition.merges = {{0, 0, 1, 2}};
  definition.added = {{3, "<s>"}};
  definition.pre_tokenizer = {PreTokenizerStage::split(kGpt2Pattern)};
  definition.normalizer = {{}};
  return definition;
}

TEST(TextDigest, SeesEveryFieldAndTheTemplate) {
  const std::string one = text_digest(small(), "{{ x }}");
  EXPECT_EQ(one.size(), 32U);
  EXPECT_EQ(text_digest(small(), "{{ x }}"), one);
  std::set<std::string> seen{one};
  EXPECT_TRUE(seen.insert(text_digest(small(), "{{ y }}")).second);
  EXPECT_TRUE(seen.insert(text_digest(small(), "")).second);
  const std::function<void(TokenizerDefinition&)> kChanges[] = {
      [](auto& d) { d.tokens[1].bytes.push_back('c'); },
      [](auto& d) { d.tokens[1].kind = TokenKind::kUnused; },
      [](auto& d) { std::swap(d.tokens[0], d.tokens[1]); },
      [](auto& d) { d.tokens.push_back({"c", TokenKind::kOrdinary}); },
      [](auto& d) { d.merges[0].rank = 1; },
      [](auto& d) { d.merges.clear(); },
      [](auto& d) { std::swap(d.merges[0].left, d.merges[0].right); },
      [](auto& d) { d.added[0].special = false; },
      [](auto& d) { d.added[0].strip_left = true; },
      [](auto& d) { d.added[0].strip_right = true; },
      [](auto& d) { d.added[0].normalized = true; },
      [](auto& d) { d.added[0].single_word = true; },
      [](auto& d) { d.pre_tokenizer[0].pattern = kLlama3Pattern; },
      [](auto& d) { d.pre_tokenizer[0].behavior = SplitBehavior::kRemoved; },
      [](auto& d) { d.pre_tokenizer[0].invert = true; },
      [](auto& d) { d.pre_tokenizer[0].kind = PreTokenizerStage::Kind::kPrefix; },
      [](auto& d) { d.pre_tokenizer[0].content = " "; },
      [](auto& d) { d.pre_tokenizer[0].only_at_start = true; },
      [](auto& d) { d.normalizer[0].kind = NormalizerStep::Kind::kNfkc; },
      [](auto& d) { d.normalizer[0].pattern = "a"; },
      [](auto& d) { d.normalizer[0].is_regex = true; },
      [](auto& d) { d.normalizer[0].content = "a"; },
      [](auto& d) { d.normalizer[0].left = true; },
      [](auto& d) { d.normalizer[0].right = true; },
      [](auto& d) { d.normalizer.clear(); },
      [](auto& d) { d.tokens[1].score = 1; },
      [](auto& d) { d.tokens[1].spelling = "x"; },
      [](auto& d) { d.model = ModelKind::kCharacterBpe; },
      [](auto& d) { d.byte_tokens[7] = 1; },
      [](auto& d) { d.drops_leading_space = true; },
      [](auto& d) { d.first_token_drops = "x"; },
      [](auto& d) { d.whole_piece_first = true; },
      [](auto& d) { d.fuse_unknown = true; },
      [](auto& d) { d.meta_slices = true; },
      [](auto& d) { d.unknown = 0; },
      [](auto& d) { d.prefix = {3}; },
      [](auto& d) { d.suffix = {3}; },
      [](auto& d) { d.bos = 3; },
      [](auto& d) { d.eos = {3}; },
  };
  for (const auto& change : kChanges) {
    TokenizerDefinition definition = small();
    change(definition);
    EXPECT_TRUE(seen.insert(text_digest(definition, "{{ x }}")).second) << seen.size();
  }
}

}  // namespace
}  // namespace herd::tokenizer
