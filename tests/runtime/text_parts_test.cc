// The text side of a checkpoint: its chat templates, the special tokens they find, and the tokens that files beside the
// tokenizer declare, as transformers merges them.

#include "runtime/checkpoint/text_parts.h"

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/checkpoint/declared_tokens.h"
#include "runtime/checkpoint/gguf_file.h"
#include "tests/runtime/tiny_checkpoint.h"

namespace herd::model {
namespace {

using namespace testing;
using Texts = std::vector<std::pair<std::string, std::string>>;

TEST(TextParts, FindTheChatTemplate) {
  const ModelDirectory directory(tiny_model(true, false));
  directory.write("chat_template.json", R"({"chat_template":"processor"})");
  EXPECT_EQ((*open_checkpoint(directory.path()))->text().chat_template, "processor");
  directory.write("tokenizer_config.json",
                  R"({"chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"yes"}]})");
  EXPECT_EQ((*open_checkpoint(directory.path()))->text().chat_template, "yes");
  directory.write("chat_template.jinja", "jinja");
  EXPECT_EQ((*open_checkpoint(directory.path()))->text().chat_template, "jinja");
  directory.write("generation_config.json", R"({"eos_token_id":[40]})");
  // Whoever runs the model drops what lies beyond its vocabulary of 40; config.json's own end id stays.
  EXPECT_EQ((*open_checkpoint(directory.path()))->generation().eos_ids, (std::vector<TokenId>{40, 2}));
}

// Of the first source that has any, and of that source all.
TEST(TextParts, NamedTemplatesAreThoseOfOneSource) {
  const TempDirectory folder;
  folder.write("tokenizer_config.json", R"({"chat_template":[{"name":"tool_use","template":"config's tools"},)"
                                        R"({"name":"default","template":"config's"},{"name":"rag","template":"r"}]})");
  TextParts text = read_text_parts(folder.path());
  EXPECT_EQ(text.chat_template, "config's");
  EXPECT_EQ(text.named_templates, (Texts{{"rag", "r"}, {"tool_use", "config's tools"}}));
  folder.write("chat_template.jinja", "file's");
  text = read_text_parts(folder.path());
  EXPECT_EQ(text.chat_template, "file's");
  EXPECT_TRUE(text.named_templates.empty()) << "transformers takes none of the config's then";
  std::filesystem::create_directory(folder.path() + "/additional_chat_templates");
  folder.write("additional_chat_templates/tool_use.jinja", "file's tools");
  folder.write("additional_chat_templates/notes.txt", "no template");
  text = read_text_parts(folder.path());
  EXPECT_EQ(text.named_templates, (Texts{{"tool_use", "file's tools"}}));
  EXPECT_EQ(text.chat_problem, "");
  std::filesystem::remove(folder.path() + "/chat_template.jinja");
  text = read_text_parts(folder.path());
  EXPECT_EQ(text.chat_template, "");
  EXPECT_EQ(text.named_templates.size(), 1u);
  EXPECT_EQ(text.chat_problem, folder.path() + ": has chat templates (tool_use), but none is named default");
}

TEST(TextParts, NamedTemplatesMayBeAnObject) {
  const TempDirectory folder;
  folder.write("tokenizer_config.json", R"({"chat_template":{"default":"d","tool_use":"t"}})");
  const TextParts text = read_text_parts(folder.path());
  EXPECT_EQ(text.chat_template, "d");
  EXPECT_EQ(text.named_templates, (Texts{{"tool_use", "t"}}));
}

TEST(TextParts, GgufHasNamedTemplatesAndSpecialTokens) {
  GgufWriter writer;
  writer.text("tokenizer.chat_template.tool_use", "tools");
  writer.text("tokenizer.chat_template", "usual");
  writer.text("tokenizer.chat_template.rag", "r");
  writer.texts("tokenizer.chat_templates", {"tool_use", "rag"});
  writer.texts("tokenizer.ggml.tokens", {"a", "<m>", "<c>"});
  writer.u32("tokenizer.ggml.mask_token_id", 1);
  writer.u32("tokenizer.ggml.cls_token_id", 2);
  writer.u32("tokenizer.ggml.unknown_token_id", 3);  // beyond the tokens
  const std::string bytes = writer.bytes();
  TextParts text;
  read_text_parts(*GgufFile::parse(as_bytes(bytes), "m.gguf"), text);
  EXPECT_EQ(text.chat_template, "usual");
  EXPECT_EQ(text.named_templates, (Texts{{"rag", "r"}, {"tool_use", "tools"}}));
  EXPECT_EQ(text.special_tokens, (Texts{{"cls_token", "<c>"}, {"mask_token", "<m>"}}));
  EXPECT_EQ(text.chat_problem, "");

  GgufWriter wrong;
  wrong.u32("tokenizer.chat_template.tool_use", 7);
  const std::string wrong_bytes = wrong.bytes();
  text = {};
  read_text_parts(*GgufFile::parse(as_bytes(wrong_bytes), "m.gguf"), text);
  EXPECT_EQ(text.chat_problem, "m.gguf: tokenizer.chat_template.tool_use: is u32, expected a string");
}

// The folder's templates beside a GGUF count instead of the file's, all of them.
TEST(TextParts, AFolderOfAGgufMayHaveItsOwnTemplates) {
  GgufWriter writer = tiny_gguf(tiny_model(true, false));
  writer.text("tokenizer.chat_template.tool_use", "file's tools");
  const TempDirectory folder;
  folder.write("m.gguf", writer.bytes());
  EXPECT_EQ((*open_checkpoint(folder.path()))->text().named_templates, (Texts{{"tool_use", "file's tools"}}));
  folder.write("chat_template.jinja", "folder's");
  EXPECT_EQ((*open_checkpoint(folder.path()))->text().chat_template, "folder's");
  EXPECT_TRUE((*open_checkpoint(folder.path()))->text().named_templates.empty());
}

// Without a decoder of added tokens, special_tokens_map.json has the last word.
TEST(TextParts, FindTheSpecialTokensThatATemplateNames) {
  const ModelDirectory directory(tiny_model(true, false));
  directory.write("tokenizer_config.json",
                  R"({"bos_token":"<s>","eos_token":{"content":"</s>","lstrip":false},"pad_token":null,"model_max_length":1,)"
                  R"("add_bos_token":true,"image_token":"<image>","extra_special_tokens":{"audio_token":"<audio>"}})");
  directory.write("special_tokens_map.json", R"({"bos_token":"<other>","pad_token":{"content":"<pad>"}})");
  const Texts own = {{"image_token", "<image>"}, {"audio_token", "<audio>"}};
  EXPECT_EQ((*open_checkpoint(directory.path()))->text().special_tokens,
            (Texts{{"bos_token", "<other>"}, {"eos_token", "</s>"}, own[0], own[1], {"pad_token", "<pad>"}}));
  directory.write("tokenizer_config.json",
                  R"({"bos_token":"<s>","eos_token":"</s>","image_token":{"__type":"AddedToken","content":"<image>"},)"
                  R"("extra_special_tokens":{"audio_token":"<audio>"},"added_tokens_decoder":{}})");
  EXPECT_EQ((*open_checkpoint(directory.path()))->text().special_tokens,
            (Texts{{"bos_token", "<s>"}, {"eos_token", "</s>"}, own[0], own[1]}));
}

// Generation by ids, scores and inspection need no template.
TEST(TextParts, ATemplateThatCannotBeReadStopsChatOnly) {
  const ModelDirectory directory(tiny_model(true, false));
  for (const char* broken : {"{", R"({"chat_template":7})", R"({"bos_token":7})", R"({"added_tokens_decoder":{"x":{}}})",
                             R"({"added_tokens_decoder":{"1":"x"}})", R"({"additional_special_tokens":[7]})"}) {
    directory.write("tokenizer_config.json", broken);
    const auto checkpoint = open_checkpoint(directory.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().message();
    expect_contains((*checkpoint)->text().chat_problem, "tokenizer_config.json: ");
  }
}

using tokenizer::AddedToken;

AddedToken special(TokenId id, std::string content) { return {.id = id, .content = std::move(content), .special = true}; }

AddedToken plain(TokenId id, std::string content) {
  return {.id = id, .content = std::move(content), .special = false, .normalized = true};
}

DeclaredTokens declared(const char* config, const char* special_map, const char* added) {
  const auto parse = [](const char* text) { return text == nullptr ? std::nullopt : std::optional(*JsonObject::parse(text, "f")); };
  const auto objects = {parse(config), parse(special_map), parse(added)};
  const auto at = [&](int i) { return objects.begin()[i] ? &*objects.begin()[i] : nullptr; };
  return declared_tokens(at(0), at(1), at(2));
}

TEST(DeclaredTokens, ADecoderOfAddedTokensSaysAll) {
  const DeclaredTokens tokens = declared(
      R"({"bos_token":"<b>","unk_token":"<u>","additional_special_tokens":["<x>","<b>","<i>"],"image_token":"<i>",)"
      R"("added_tokens_decoder":{"12":{"content":"<y>","lstrip":true,"rstrip":true,"single_word":true,"normalized":false,"special":false},)"
      R"("3":{"content":"<b>","special":true},"11":{"content":"word"}}})",
      R"({"pad_token":"<pad>"})", R"({"<late>":99})");
  AddedToken stripping = plain(12, "<y>");
  stripping.strip_left = stripping.strip_right = stripping.single_word = true;
  stripping.normalized = false;
  EXPECT_EQ(tokens.added_tokens.tokens, (std::vector<AddedToken>{special(3, "<b>"), plain(11, "word"), stripping, special(-1, "<u>"),
                                                          special(-1, "<i>"), special(-1, "<x>")}));
  EXPECT_TRUE(tokens.added_tokens.restate);
  EXPECT_EQ(tokens.special_tokens, (Texts{{"bos_token", "<b>"}, {"unk_token", "<u>"}, {"image_token", "<i>"}}));
}

TEST(DeclaredTokens, WithoutOneTheOtherFilesCount) {
  const DeclaredTokens tokens =
      declared(R"({"bos_token":{"content":"<b>","normalized":true},"extra_special_tokens":["<e>"]})",
               R"({"eos_token":{"content":"<s>","lstrip":true},"additional_special_tokens":[{"content":"<a>"}]})",
               R"({"<e>":40,"word":38,"<new>":39,"<s>":7})");
  AddedToken begin = special(-1, "<b>");
  begin.normalized = true;
  EXPECT_EQ(tokens.added_tokens.tokens, (std::vector<AddedToken>{special(7, "<s>"), plain(38, "word"), plain(39, "<new>"),
                                                          special(40, "<e>"), begin, special(-1, "<a>")}));
  EXPECT_FALSE(tokens.added_tokens.restate);
  EXPECT_EQ(tokens.special_tokens, (Texts{{"bos_token", "<b>"}, {"eos_token", "<s>"}}));
}

TEST(DeclaredTokens, NoFilesDeclareNone) {
  const DeclaredTokens none = declared(nullptr, nullptr, nullptr);
  EXPECT_TRUE(none.added_tokens.tokens.empty());
  EXPECT_TRUE(none.special_tokens.empty());
  EXPECT_EQ(declared(nullptr, nullptr, R"({"<new>":5})").added_tokens.tokens, (std::vector<AddedToken>{plain(5, "<new>")}));
  EXPECT_EQ(declared("{}", R"({"pad_token":""})", nullptr).added_tokens.tokens, std::vector<AddedToken>());
}

TEST(DeclaredTokens, AreAmongTheTextPartsOfAFolder) {
  const TempDirectory folder;
  folder.write("added_tokens.json", R"({"<new>":300})");
  EXPECT_EQ(read_text_parts(folder.path()).added_tokens.tokens, (std::vector<AddedToken>{plain(300, "<new>")}));
  folder.write("added_tokens.json", R"({"<new>":-1})");
  EXPECT_EQ(read_text_parts(folder.path()).chat_problem,
            folder.path() + "/added_tokens.json: <new>: -1 is not an integer in [0, 2147483647]");
}

}  // namespace
}  // namespace herd::model
