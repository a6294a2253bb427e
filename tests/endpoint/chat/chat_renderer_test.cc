// Which format stands for a chat template, and that everything else is refused by name.
#include "endpoint/chat/chat_renderer.h"

#include "tests/runtime/tokenizer_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace herd::chat {
namespace {

const tokenizer::Tokenizer& vocabulary() {
  static const tokenizer::Tokenizer kTokenizer =
      tokenizer::small_tokenizer("llama-bpe", {{"\n", "\n"}, {"\n\n", "\n"}},
                      {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"});
  return kTokenizer;
}

const SpecialTokens kTokens = {{"bos_token", "<|begin_of_text|>"}, {"eos_token", "<|eot_id|>"}};

constexpr std::string_view kLlama3 =
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + (m['content'] | trim) "
    "+ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";
constexpr std::string_view kChatMl =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
// What Llama 3.1 prints without tools, in other words than its own.
constexpr std::string_view kLlama31 = R"({%- set ns = namespace(system='') -%}
{%- if messages[0].role == 'system' -%}
  {%- set ns.system = messages[0].content | trim -%}
  {%- set messages = messages[1:] -%}
{%- endif -%}
{{ bos_token + '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: ' ~ date_string }}
{{- '\n\n' + ns.system + '<|eot_id|>' -}}
{%- for m in messages -%}
  {%- set role = 'ipython' if m.role in ['tool', 'ipython'] else m.role -%}
  {%- set content = m.content | tojson if role == 'ipython' else m.content | trim -%}
  {{- '<|start_header_id|>' ~ role ~ '<|end_header_id|>\n\n' ~ content ~ '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%})";

std::string replaced(std::string_view text, std::string_view old, std::string_view fresh) {
  std::string out(text);
  for (std::size_t at = out.find(old); at != std::string::npos; at = out.find(old, at + fresh.size())) out.replace(at, old.size(), fresh);
  EXPECT_NE(out, text) << old;
  return out;
}

std::string refusal(std::string_view jinja, const SpecialTokens& tokens = kTokens) {
  const auto chat = ChatRenderer::of_template(jinja, tokens, vocabulary());
  return chat ? "accepted" : chat.error().message();
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

TEST(ChatRenderer, TheFormatIsTheOneThatPrintsTheSame) {
  const auto format = [](const std::string& jinja) { return ChatRenderer::of_template(jinja, kTokens, vocabulary()).value().format(); };
  EXPECT_EQ(format(std::string(kLlama3)), ChatFormat::kLlama30);
  EXPECT_EQ(format(std::string(kLlama31)), ChatFormat::kLlama31);
  EXPECT_EQ(format(std::string(kChatMl)), ChatFormat::kChatMl);
  EXPECT_EQ(format("{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, "
                   "trained by Hugging Face<|im_end|>\n' }}{% endif %}" + std::string(kChatMl)),
            ChatFormat::kSmolLm2);
}

// Each is one of the two templates above with one thing changed.
TEST(ChatRenderer, AlmostAFormatIsRefusedWithTheDifference) {
  const std::pair<std::string, std::string> rows[] = {
      {"{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are Foo.<|im_end|>\n' }}{% endif %}" + std::string(kChatMl),
       "it gives \"tem\\nYou are Foo."},
      {replaced(kLlama3, " | trim", ""), "user \" Hi \" it gives \"eader_id|>\\n\\n Hi <|eot_id|>"},
      {replaced(kLlama3, "\\n\\n", "\\n"), "where llama3 gives"},
      {"{{ bos_token }}" + std::string(kChatMl), "it gives \"_of_text|><|im_start|>"},
      {replaced(kChatMl, "<|im_end|>\\n", "<|im_end|>"), "it gives"},
      {replaced(kChatMl, "m['content']", "(m['content'] | trim)"), "user \" Hi \" it gives"},
      {replaced(kChatMl, "assistant\\n", "assistant\\n<think>\\n\\n</think>\\n\\n"), "<think>"},
      {replaced(kChatMl, "m['content']", "m['content'] | replace('H', 'J')"), "it gives"},
      {replaced(kChatMl, "{% if add_generation_prompt %}", "{% if true %}"), "no generation prompt it gives"},
      {replaced(kLlama31, "December 2023", "June 2024"), "June 2024"},
      {replaced(kLlama31, "date_string", "'26 Jul 2024'"), "01 Feb 2031"},
      {replaced(kChatMl, "m['content']", "('long' if m['content'] | length > 1000 else m['content'])"), "it gives"},
      {replaced(kChatMl, "m['content']", "('late' if loop.index0 > 20 else m['content'])"), "it gives"},
  };
  for (const auto& [jinja, difference] : rows) {
    const std::string message = refusal(jinja);
    EXPECT_TRUE(message.starts_with("chat template: not one that herd renders exactly (llama3, llama3.1, chatml or smollm2); for ")) << message;
    EXPECT_TRUE(contains(message, difference)) << message;
    EXPECT_TRUE(contains(message, "(--chat-format ")) << message;
  }
}

TEST(ChatRenderer, WhatIsNotUnderstoodIsRefusedByName) {
  EXPECT_TRUE(refusal("{% include 'x' %}").starts_with("chat template: line 1: the statement {% include %} is not supported"));
  EXPECT_TRUE(contains(refusal("{{ messages | shuffle }}"), "the filter \"shuffle\" is not supported"));
  EXPECT_TRUE(contains(refusal("{{ strftime_now('%Y') }}"), "strftime_now: herd gives templates no clock"));
  EXPECT_TRUE(contains(refusal("{{ additional_special_tokens }}"), "additional_special_tokens is not supported"));
  EXPECT_TRUE(contains(refusal("{{ raise_exception('never \x1b[2J\n') }}"), "the template refuses: never \\u001b[2J\\n"));
  EXPECT_TRUE(contains(refusal("[INST] {{ messages[0].content }} [/INST]"), "not one that herd renders exactly"));
}

// A template without BOS, and one that writes the BOS of a checkpoint that declares none.
TEST(ChatRenderer, ALlamaTemplateMayBeginWithoutBos) {
  const std::vector<ChatMessage> hi = {{"user", "Hi"}};
  const auto same_but_bos = [&](const Expected<ChatRenderer>& chat, std::string_view jinja) {
    const auto whole = ChatRenderer::of_template(jinja, kTokens, vocabulary());
    ASSERT_TRUE(chat && whole);
    EXPECT_EQ(chat->format(), whole->format());
    EXPECT_TRUE(whole->begin_of_text());
    EXPECT_FALSE(chat->begin_of_text());
    EXPECT_EQ("<|begin_of_text|>" + chat->text(hi, {}).value(), whole->text(hi, {}).value());
    EXPECT_EQ(chat->render(hi, {}).value().size() + 1, whole->render(hi, {}).value().size());
  };
  same_but_bos(ChatRenderer::of_template(kLlama3, {}, vocabulary()), kLlama3);
  same_but_bos(ChatRenderer::of_template(replaced(kLlama3, "{{ bos_token }}", ""), kTokens, vocabulary()), kLlama3);
  same_but_bos(ChatRenderer::of_template(replaced(kLlama31, "bos_token + ", ""), kTokens, vocabulary()), kLlama31);
}

TEST(ChatRenderer, SpecialTokensComeFromTheCheckpoint) {
  EXPECT_TRUE(contains(refusal(kLlama3, {{"bos_token", "<s>"}}), "it gives \"<s>"));
}

TEST(ChatRenderer, ARoleThatTheTemplateDoesNotTakeIsRefusedByName) {
  const std::string jinja = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" +
                            std::string(kLlama3);
  const auto chat = ChatRenderer::of_template(jinja, kTokens, vocabulary());
  ASSERT_TRUE(chat) << chat.error().message();
  ASSERT_EQ(chat->refused_roles().size(), 1U);
  EXPECT_TRUE(chat->render(std::vector<ChatMessage>{{"user", "Hi"}}, {}));
  const auto refused = chat->render(std::vector<ChatMessage>{{"system", "x"}, {"user", "Hi"}}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "messages[0].role: \"system\" is refused: the chat template refuses it: line 1: "
                                       "the template refuses: System role not supported");
}

TEST(ChatRenderer, EveryConversationIsHeldAgainstTheTemplate) {
  // Neither shows in the probes: turns that must alternate, and a text that only this template knows.
  const std::string jinja =
      "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('must alternate') }}{% endif %}"
      "{% endfor %}" + replaced(kChatMl, "m['content']", "m['content'].split('</think>')[-1]");
  const auto chat = ChatRenderer::of_template(jinja, kTokens, vocabulary());
  ASSERT_TRUE(chat) << chat.error().message();
  EXPECT_TRUE(chat->render(std::vector<ChatMessage>{{"user", "a"}, {"assistant", "b"}, {"user", "c"}}, {}));
  const auto alternate = chat->render(std::vector<ChatMessage>{{"user", "a"}, {"user", "b"}}, {});
  EXPECT_EQ(alternate.error().message(),
            "messages: the chat template refuses this conversation: line 1: the template refuses: must alternate");
  const auto thought = chat->render(std::vector<ChatMessage>{{"user", "a"}, {"assistant", "x</think>b"}, {"user", "c"}}, {});
  ASSERT_FALSE(thought);
  EXPECT_TRUE(thought.error().message().starts_with("messages: the chat template renders this conversation in its own way: it gives "))
      << thought.error().message();
}

TEST(ChatRenderer, IdsAreThoseOfTheText) {
  const auto chat = ChatRenderer::of_template(kChatMl, kTokens, vocabulary()).value();
  const std::vector<ChatMessage> messages = {{"system", "Be brief."}, {"user", "\n\nHi"}, {"assistant", "x "}, {"user", ""}};
  for (const bool prompt : {true, false}) {
    const ChatOptions options{.add_generation_prompt = prompt, .date_string = "26 Jul 2024"};
    const std::string text = chat.text(messages, options).value();
    EXPECT_EQ(chat.render(messages, options).value(), vocabulary().encode(text, {.add_bos = false, .parse_special = true}));
  }
  EXPECT_EQ(chat.render({}, {}).error().message(), "messages: empty");
}

TEST(ChatRenderer, ANamedFormatAsksNoTemplateButNeedsItsControlTokens) {
  const auto chat = ChatRenderer::of_format(ChatFormat::kLlama30, vocabulary());
  EXPECT_EQ(chat->text(std::vector<ChatMessage>{{"narrator", " x "}}, {}).value(),
            "<|begin_of_text|><|start_header_id|>narrator<|end_header_id|>\n\nx<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(ChatRenderer::of_format(ChatFormat::kChatMl, tokenizer::small_tokenizer()).error().message(),
            "chat: the vocabulary has no control token <|im_start|>");
}

TEST(ChatRenderer, AVocabularyThatReadsTheTextOtherwiseIsRefused) {
  tokenizer::GgufVocabulary parts = tokenizer::small_vocabulary("gpt-2", {}, {"<|im_start|>", "<|im_end|>", "<|im_end|>\n"});
  parts.add_bos = false;
  const auto chat = ChatRenderer::of_template(kChatMl, kTokens, tokenizer::build_small(parts));
  ASSERT_FALSE(chat);
  EXPECT_TRUE(contains(chat.error().message(), "this vocabulary gives other ids than chatml")) << chat.error().message();
}

}  // namespace
}  // namespace herd::chat
