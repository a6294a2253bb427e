// Files of prompts: what is taken, and what is refused with file and field.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

#include "commands/prompt_file.h"

namespace herd::commands {
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
  EXPECT_NE(message(R"([{"prompt": "x", "context": "/no/such/file"}])").find("No such file"), std::string::npos);
}

TEST_F(PromptFile, MissingFileIsAMissingResource) {
  const auto entries = read_prompt_file("/no/such/prompts.json");
  ASSERT_FALSE(entries);
  EXPECT_EQ(entries.error().code(), StatusCode::kMissing);
}

// A pipe has no size, and its writer may come later.
TEST_F(PromptFile, PipesAreReadToTheirEnd) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::thread writer([&] {
    for (const char* part : {"[{\"prompt\": ", "\"from a pipe\"}]"}) EXPECT_GT(::write(ends[1], part, std::strlen(part)), 0);
    ::close(ends[1]);
  });
  const auto entries = read_prompt_file("/dev/fd/" + std::to_string(ends[0]));
  writer.join();
  ::close(ends[0]);
  ASSERT_TRUE(entries) << entries.error().message();
  EXPECT_EQ(entries->front().prompt, "from a pipe");
}

TEST_F(PromptFile, PlainTextLosesOneLineBreakAtItsEnd) {
  const std::pair<const char*, const char*> cases[] = {
      {"one line\n", "one line"}, {"two\n\n", "two\n"}, {"dos\r\n", "dos"}, {"bare", "bare"}, {" kept \r", " kept \r"}};
  for (const auto& [content, expected] : cases) {
    const auto text = read_prompt_text(write("plain.txt", content));
    ASSERT_TRUE(text) << text.error().message();
    EXPECT_EQ(*text, expected);
  }
  for (const char* empty : {"", "\n"}) {
    const auto text = read_prompt_text(write("empty.txt", empty));
    ASSERT_FALSE(text);
    EXPECT_NE(text.error().message().find("empty.txt: is empty"), std::string::npos);
  }
  EXPECT_NE(read_prompt_text(::testing::TempDir()).error().message().find("directory"), std::string::npos);
}

}  // namespace
}  // namespace herd::commands
