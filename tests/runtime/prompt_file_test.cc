// Files of prompts: what is taken, and what is refused with file and field.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "runtime/prompts/prompt_file.h"

namespace herd::prompts {
namespace {

class PromptFile : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = ::testing::TempDir() + "/herd_prompts_" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
};

TEST_F(PromptFile, ContextIsCutByCharactersAndStandsBeforeThePrompt) {
  const std::string context = write("context.txt", "h\xc3\xa9llo world");
  const std::string path =
      write("a.json", R"([{"prompt": "Why?", "context": ")" + context + R"(", "max_length": 4}, {"prompt": "b"}])");
  const auto entries = read_prompt_file(path);
  ASSERT_TRUE(entries) << entries.error().message();
  ASSERT_EQ(entries->size(), 2U);
  EXPECT_EQ((*entries)[0].context, "h\xc3\xa9ll");
  EXPECT_EQ(compose_prompt((*entries)[0], true), "```h\xc3\xa9ll```\n\nWhy?");
  EXPECT_EQ(compose_prompt((*entries)[1], true), "b");
}

TEST_F(PromptFile, RefusesWithFileAndField) {
  const auto message = [&](const std::string& text) {
    const auto entries = read_prompt_file(write("bad.json", text));
    EXPECT_FALSE(entries);
    return entries ? std::string() : entries.error().message();
  };
  EXPECT_NE(message("{").find("not JSON"), std::string::npos);
  EXPECT_NE(message("{}").find("array"), std::string::npos);
  EXPECT_NE(message("[]").find("array"), std::string::npos);
  EXPECT_NE(message("[1]").find("entry 0: not an object"), std::string::npos);
  EXPECT_NE(message(R"([{"prompt": 1}])").find("entry 0.prompt"), std::string::npos);
  EXPECT_NE(message(R"([{"promt": "x"}])").find("unknown field \"promt\""), std::string::npos);
  EXPECT_NE(message(R"([{"prompt": "x", "max_length": -1}])").find("max_length"), std::string::npos);
  EXPECT_NE(message(R"([{"prompt": "x", "context": "https://a/b"}])").find("URL"), std::string::npos);
  EXPECT_NE(message(R"([{"prompt": "x", "context": "/no/such/file"}])").find("no such file"), std::string::npos);
}

TEST_F(PromptFile, MissingFileIsAMissingResource) {
  const auto entries = read_prompt_file("/no/such/prompts.json");
  ASSERT_FALSE(entries);
  EXPECT_EQ(entries.error().code(), StatusCode::kMissing);
}

}  // namespace
}  // namespace herd::prompts
