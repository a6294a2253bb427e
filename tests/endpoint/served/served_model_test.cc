// A model as clients see it: its names, and reasons without the folders of this machine.

#include "endpoint/served/served_model.h"

#include <gtest/gtest.h>

#include "tests/endpoint/served/served_folder.h"

namespace herd::served {
namespace {

using Names = std::vector<std::string>;

TEST(ServedNames, AreThoseAskedForOrTheModelsFolderOrFile) {
  EXPECT_EQ(served_names({"a", "b"}, "/models/llama"), (Names{"a", "b"}));
  EXPECT_EQ(served_names({}, "/models/llama"), (Names{"llama"}));
  EXPECT_EQ(served_names({}, "/models/llama//"), (Names{"llama"}));
  EXPECT_EQ(served_names({}, "llama.gguf"), (Names{"llama.gguf"}));
}

TEST(ServedModel, HasTheTextsParts) {
  testing::ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  folder.write("generation_config.json", R"({"temperature":0.5})");
  const ServedModel model = served_model(*folder.text(), {"first", "second"});
  EXPECT_EQ(model.names, (Names{"first", "second"}));
  EXPECT_EQ(model.root, "first");
  EXPECT_TRUE(model.tokenizer.has_value());
  EXPECT_TRUE(model.no_text_reason.empty());
  EXPECT_FALSE(model.chat_renderer.has_value());
  EXPECT_NE(model.no_chat_reason.find("no chat template"), std::string::npos);
  EXPECT_EQ(model.generation.temperature, 0.5);
  EXPECT_EQ(model.vocab_size, 260);
}

// Clients learn a file's name, not where it lies.
TEST(ServedModel, ReasonsNameNoFolders) {
  ServedText text;
  text.no_text = bad_input("/home/ada/models/tokenizer.json: model.type \"Unigram\": not /supported: yet");
  text.chat = fail(bad_input("no template in sight"));
  const ServedModel model = served_model(text, {"m"});
  EXPECT_EQ(model.no_text_reason, "tokenizer.json: model.type \"Unigram\": not /supported: yet");
  EXPECT_EQ(model.no_chat_reason, "no template in sight");
}

}  // namespace
}  // namespace herd::served
