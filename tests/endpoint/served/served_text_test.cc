// What is served is known without a weight and without a rank: text, chat, end ids, or why one of them is absent.

#include "endpoint/served/served_text.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "cluster/wire/generate_codec.h"
#include "endpoint/jinja/template.h"
#include "tests/endpoint/served/served_folder.h"

namespace herd::served {
namespace {

using testing::ServedFolder;
using Ids = std::vector<TokenId>;
using Lines = std::vector<std::string>;

constexpr const char* kTemplate = "{% for m in messages %}{{ m.role ~ ': ' ~ m.content }};{% endfor %}";

// What the chat of that text makes of one message.
std::string prompt(const Expected<ServedText>& text) {
  chat::Conversation conversation;
  conversation.messages = {{"user", "ab"}};
  const auto printed = text->chat->text(conversation, 0);
  return printed ? printed->bytes : printed.error().message();
}

TEST(ServedText, NeedsNoWeights) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  folder.write("generation_config.json", R"({"eos_token_id":[7,5],"temperature":0.5})");
  const auto text = folder.text();
  ASSERT_TRUE(text.has_value()) << text.error().message();
  ASSERT_TRUE(text->tokenizer.has_value());
  EXPECT_EQ(text->tokenizer->encode("ab!"), (Ids{256, '!'}));
  EXPECT_EQ(text->config.vocab_size, 260);
  EXPECT_EQ(text->generation.temperature, 0.5);
  EXPECT_EQ(text->eos_ids, (Ids{7, 5})) << "generation_config.json's, then config.json's";
  EXPECT_TRUE(folder.warnings.empty());
}

TEST(ServedText, WithoutATokenizerTokenIdsStillWork) {
  ServedFolder folder;
  const auto text = folder.text();
  ASSERT_TRUE(text.has_value());
  EXPECT_FALSE(text->tokenizer.has_value());
  EXPECT_NE(text->no_text.message().find("--tokenizer-path"), std::string::npos);
  EXPECT_EQ(text->chat.error(), text->no_text);
  EXPECT_EQ(folder.notes, (Lines{"no text, token ids only: " + text->no_text.message()}));
  EXPECT_EQ(text->eos_ids, (Ids{5}));
}

// What herd cannot use costs the text only, unless it was asked for.
TEST(ServedText, ATokenizerOfAnotherModelIsRefusedUnlessItWasAskedFor) {
  ServedFolder folder;
  folder.write("config.json", testing::config_json(224));
  const std::string path = folder.write("tokenizer.json", testing::tokenizer_json());
  const auto text = folder.text();
  ASSERT_TRUE(text.has_value());
  EXPECT_FALSE(text->tokenizer.has_value());
  EXPECT_EQ(text->no_text.message(), folder.path() + ": the tokenizer has 257 tokens but the model's vocab_size is 224");
  const auto asked = folder.text(path);
  ASSERT_FALSE(asked.has_value());
  EXPECT_EQ(asked.error(), text->no_text);
}

TEST(ServedText, ADamagedTokenizerIsAnError) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json().substr(0, 1000));
  EXPECT_EQ(folder.text().error().code(), StatusCode::kBadInput);
}

TEST(ServedText, WarnsOfAddedTokensWithoutARow) {
  ServedFolder folder;
  folder.write("config.json", testing::config_json(258));
  folder.write("tokenizer.json", testing::tokenizer_json());
  ASSERT_TRUE(folder.text()->tokenizer.has_value());
  ASSERT_EQ(folder.warnings.size(), 1U);
  EXPECT_NE(folder.warnings[0].find("added tokens up to 258, the model's vocabulary ends at 257"), std::string::npos);
}

TEST(ServedText, SaysWhyThereIsNoChat) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  const std::string none = folder.text()->chat.error().message();
  EXPECT_NE(none.find("has no chat template; --chat-template FILE gives one, --chat-format"), std::string::npos) << none;
  folder.write("chat_template.jinja", "x\n{% for %}");
  EXPECT_TRUE(folder.text()->chat.error().message().starts_with("chat template: line 2")) << folder.text()->chat.error().message();
  folder.write("chat_template.jinja", kTemplate);
  EXPECT_EQ(prompt(folder.text()), "user: ab;");
}

TEST(OpenChat, ATemplateForToolsIsTakenForThem) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  model::TextParts parts;
  parts.chat_template = "without";
  parts.named_templates = {{"rag", "neither"}, {"tool_use", "with tools"}};
  const auto chat = open_chat(parts, folder.text()->tokenizer, {}, [](const std::string&) {});
  chat::Conversation asked;
  asked.messages = {{"user", "ab"}};
  EXPECT_EQ(chat->text(asked, 0)->bytes, "without");
  asked.tools = jinja::make_list({jinja::make_dict({})});
  EXPECT_EQ(chat->text(asked, 0)->bytes, "with tools");
}

TEST(ServedText, ATemplateThatIsGivenIsTaken) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  folder.write("chat_template.jinja", kTemplate);
  ChatSettings own;
  own.template_path = folder.write("own.jinja", "own {{ messages[0].content }}");
  EXPECT_EQ(prompt(folder.text("", own)), "own ab");
  own.format = "llama3";
  EXPECT_EQ(folder.text("", own).error().code(), StatusCode::kUsage) << "and a format";
  own = {};
  own.template_path = folder.path() + "/none.jinja";
  EXPECT_EQ(folder.text("", own).error().code(), StatusCode::kMissing) << "what was asked for is needed";
  own.template_path = folder.write("bad.jinja", "{% for %}");
  EXPECT_EQ(folder.text("", own).error().code(), StatusCode::kBadInput);
}

TEST(ServedText, SettingsOfChatsReachTheRenderer) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  folder.write("chat_template.jinja", "{{ strftime_now('%Y-%m-%d') }} {{ messages[0].content }}");
  EXPECT_EQ(prompt(folder.text()), "1970-01-01 ab");
  ChatSettings settings;
  settings.date = "2025-03-07";
  EXPECT_EQ(prompt(folder.text("", settings)), "2025-03-07 ab");
  settings.date = "soon";
  EXPECT_EQ(folder.text("", settings)->chat.error().code(), StatusCode::kUsage);
}

// Whatever changes the ids of the same words.
TEST(ServedText, TheDigestNamesTemplateAndSettings) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  std::set<std::string> digests;
  const auto add = [&](const ChatSettings& settings) { digests.insert(folder.text("", settings)->text_digest); };
  add({});
  folder.write("chat_template.jinja", kTemplate);
  add({});
  ChatSettings settings;
  settings.date = "2025-03-07";
  add(settings);
  settings = {};
  settings.special_in_content = true;
  add(settings);
  settings = {};
  settings.template_path = folder.write("own.jinja", "own");
  add(settings);
  folder.write("tokenizer_config.json", R"({"bos_token":"<end>"})");
  add({});
  EXPECT_EQ(digests.size(), 6U);
}

TEST(ServedText, AChatFormatThatIsNamedIsSaid) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  ChatSettings named;
  named.format = "chatml";
  (void)folder.text("", named);
  EXPECT_EQ(folder.warnings, (Lines{"chat format chatml, as --chat-format says: the checkpoint has no chat template"}));
  folder.warnings.clear();
  folder.write("chat_template.jinja", kTemplate);
  (void)folder.text("", named);
  EXPECT_EQ(folder.warnings, (Lines{"warning: chat format chatml, as --chat-format says; the checkpoint's own chat "
                                    "template is not asked"}));
  EXPECT_EQ(folder.text("", named)->chat.error().message(), "chat: the vocabulary has no control token <|im_start|>");
  named.format = "gpt";
  EXPECT_EQ(folder.text("", named)->chat.error().code(), StatusCode::kUsage);
}

TEST(EndIds, AreThoseThatAnyFileNames) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  folder.write("tokenizer_config.json", R"({"eos_token":"<turn>"})");
  EXPECT_EQ(folder.text()->eos_ids, (Ids{5, 258}));
  folder.write("special_tokens_map.json", R"({"eos_token":{"content":"<end>"}})");
  EXPECT_EQ(folder.text()->eos_ids, (Ids{5, 257, 258}));
}

// The names count beside a tokenizer that lies elsewhere, too.
TEST(EndIds, AreReadBesideTheTokenizer) {
  ServedFolder folder;
  const ServedFolder elsewhere;
  const std::string path = elsewhere.write("tokenizer.json", testing::tokenizer_json());
  elsewhere.write("tokenizer_config.json", R"({"eos_token":"<turn>"})");
  EXPECT_EQ(folder.text(path)->eos_ids, (Ids{5, 258}));
}

TEST(EndIds, AFileThatCannotBeReadIsNamed) {
  ServedFolder folder;
  folder.write("tokenizer.json", testing::tokenizer_json());
  folder.write("special_tokens_map.json", "{");
  EXPECT_EQ(folder.text()->eos_ids, (Ids{5}));
  ASSERT_EQ(folder.warnings.size(), 1U);
  EXPECT_NE(folder.warnings[0].find("special_tokens_map.json"), std::string::npos);
  EXPECT_NE(folder.warnings[0].find("the end tokens it may name are not known"), std::string::npos);
}

TEST(EndIds, BeyondTheVocabularyEndNothing) {
  ServedFolder folder;
  folder.write("generation_config.json", R"({"eos_token_id":[7,260]})");
  EXPECT_EQ(folder.text()->eos_ids, (Ids{7, 5}));
  ASSERT_EQ(folder.warnings.size(), 1U);
  EXPECT_NE(folder.warnings[0].find("end id 260 is beyond the model's vocabulary of 260 and ends nothing"),
            std::string::npos);
}

TEST(EndIds, MoreThanASubmissionCarriesAreRefused) {
  ServedFolder folder;
  const int many = static_cast<int>(wire::kEosIdsMax) + 1;
  std::string ids = "0";
  for (int id = 1; id < many; ++id) ids.append(",").append(std::to_string(id));
  folder.write("config.json", testing::config_json(many + 16));
  folder.write("generation_config.json", R"({"eos_token_id":[)" + ids + "]}");
  EXPECT_EQ(folder.text().error().code(), StatusCode::kBadInput);
}

}  // namespace
}  // namespace herd::served
