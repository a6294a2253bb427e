// Which ids end a sequence: every source counts, what lies beyond the vocabulary does not.

#include "runtime/checkpoint/end_ids.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "runtime/checkpoint/text_parts.h"
#include "tests/runtime/checkpoint_bytes.h"

namespace herd::model {
namespace {

using testing::TempDirectory;
using Ids = std::vector<TokenId>;
using Names = std::vector<std::string>;

TEST(EndIds, EverySourceCountsAndEachIdOnce) {
  const Ids generation = {7, 3};
  const Ids config = {3, 9};
  const Ids vocabulary = {9, 1};
  const EndIds ends = join_end_ids({generation, config, vocabulary}, 10);
  EXPECT_EQ(ends.ids, (Ids{7, 3, 9, 1}));
  EXPECT_TRUE(ends.dropped.empty());
}

TEST(EndIds, IdsBeyondTheVocabularyAreDroppedAndTold) {
  const Ids generation = {7, 10};
  const Ids config = {9999, 10};
  const EndIds ends = join_end_ids({generation, config}, 10);
  EXPECT_EQ(ends.ids, (Ids{7}));
  EXPECT_EQ(ends.dropped, (Ids{10, 9999}));
}

// A million of them cost no more than reading them: a file may list what it likes.
TEST(EndIds, ManyIdsAreJoinedInOnePass) {
  Ids many(1'000'000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<TokenId>(i);
  const EndIds ends = join_end_ids({many, many}, 10);
  EXPECT_EQ(ends.ids.size(), 10u);
  EXPECT_EQ(ends.dropped.size(), many.size() - 10);
}

TEST(DeclaredEnds, EverySpellingOfEosToken) {
  const std::pair<const char*, Names> cases[] = {
      {R"({"eos_token":"<|eot_id|>"})", {"<|eot_id|>"}},
      {R"({"eos_token":{"__type":"AddedToken","content":"</s>","lstrip":false}})", {"</s>"}},
      {R"({"eos_token":["<a>","<b>"]})", {"<a>", "<b>"}},
      {R"({"eos_token":[{"content":"<a>"},{"content":"<b>"}]})", {"<a>", "<b>"}},
      {R"({"eos_token":null})", {}},
      {R"({"eos_token":""})", {}},
      {R"({"eos_token":7})", {}},
      {R"({"bos_token":"<s>"})", {}},
  };
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    for (const auto& [text, expected] : cases) {
      const TempDirectory folder;
      folder.write(file, text);
      const auto declared = read_declared_ends(folder.path());
      ASSERT_TRUE(declared) << declared.error().message();
      EXPECT_EQ(declared->names, expected) << file << " " << text;
    }
  }
}

TEST(DeclaredEnds, SpecialTokensOfTheDecoderHaveTheirIds) {
  const TempDirectory folder;
  folder.write("tokenizer_config.json", R"({"added_tokens_decoder":{"5":{"content":"<|eot_id|>","special":true},)"
                                        R"("6":{"content":"word","special":false},"x":{"content":"y","special":true}}})");
  const auto declared = read_declared_ends(folder.path());
  ASSERT_TRUE(declared) << declared.error().message();
  using Tokens = std::vector<std::pair<TokenId, std::string>>;
  EXPECT_EQ(declared->special_tokens, (Tokens{{5, "<|eot_id|>"}}));
}

TEST(DeclaredEnds, ATokenizerThatCannotBeUsedStillNamesItsTokens) {
  const TempDirectory folder;
  const std::string path = folder.write("tokenizer.json", R"({"model":{"type":"Unigram"},"added_tokens":[)"
                                        R"({"id":2,"content":"</s>","special":true},{"id":3,"content":"w","special":false}]})");
  using Tokens = std::vector<std::pair<TokenId, std::string>>;
  EXPECT_EQ(read_special_tokens(path), (Tokens{{2, "</s>"}}));
  EXPECT_TRUE(read_special_tokens(folder.write("cut.json", R"({"added_tokens":[)")).empty());
  EXPECT_TRUE(read_special_tokens(folder.write("other.json", R"({"added_tokens":{"id":2}})")).empty());
}

TEST(DeclaredEnds, NoFilesSayNothingAndABrokenOneIsNamed) {
  const TempDirectory folder;
  const auto none = read_declared_ends(folder.path());
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->names.empty());
  folder.write("special_tokens_map.json", "{");
  const auto broken = read_declared_ends(folder.path());
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message().find("special_tokens_map.json"), std::string::npos);
}

// The same beside a checkpoint, read once with the rest of the text side.
TEST(DeclaredEnds, AreAmongTheTextPartsOfAFolder) {
  const TempDirectory folder;
  folder.write("tokenizer_config.json", R"({"eos_token":"<a>","added_tokens_decoder":{"5":{"content":"<a>","special":true}}})");
  folder.write("special_tokens_map.json", R"({"eos_token":"<b>"})");
  const TextParts text = read_text_parts(folder.path());
  const auto declared = read_declared_ends(folder.path());
  ASSERT_TRUE(declared);
  EXPECT_EQ(text.ends.names, (Names{"<a>", "<b>"}));
  EXPECT_EQ(text.ends.names, declared->names);
  EXPECT_EQ(text.ends.special_tokens, declared->special_tokens);
  EXPECT_EQ(text.ends_problem, "");
}

TEST(DeclaredEnds, OfAFolderWithABrokenFileAreNoneAndItIsNamed) {
  const TempDirectory folder;
  folder.write("tokenizer_config.json", R"({"eos_token":"<a>"})");
  folder.write("special_tokens_map.json", "{");
  const TextParts text = read_text_parts(folder.path());
  EXPECT_TRUE(text.ends.names.empty());
  EXPECT_EQ(text.ends_problem, read_declared_ends(folder.path()).error().message());
}

// Chat needs the file; an end that nobody can read is none.
TEST(DeclaredEnds, ALinkThatLeadsNowhereDeclaresNothing) {
  const TempDirectory folder;
  std::filesystem::create_symlink("gone", folder.path() + "/tokenizer_config.json");
  const TextParts text = read_text_parts(folder.path());
  EXPECT_EQ(text.ends_problem, "");
  EXPECT_NE(text.chat_problem, "");
}

}  // namespace
}  // namespace herd::model
