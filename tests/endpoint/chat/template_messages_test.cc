// What a template gets of messages, by what it understands.
#include "endpoint/chat/template_messages.h"

#include "tests/endpoint/chat/chat_fixture.h"

namespace herd::chat {
namespace {

using jinja::Value;

std::string given(const std::vector<ChatMessage>& messages, const TemplateTraits& traits = {}) {
  return as_json(template_messages(messages, traits));
}

Value call(const char* id, const char* name) {
  return jinja::make_dict({{"id", Value::foreign_text(id)}, {"function", jinja::make_dict({{"name", Value::foreign_text(name)}})}});
}

ChatMessage calling(std::vector<Value> calls) {
  return {"assistant", "Let me see.", {}, {{"tool_calls", jinja::make_list(std::move(calls))}}};
}

ChatMessage result(const char* id, const char* content) {
  return {"tool", content, {}, {{"tool_call_id", Value::foreign_text(id)}}};
}

TEST(TemplateMessages, AreWhatWasSentWithAllItsMembers) {
  EXPECT_EQ(given({{"system", "S"}, {"user", "Hi", {}, {{"name", Value::foreign_text("me")}}}, calling({call("a", "f")}), result("a", "5")}),
            R"([{"role": "system", "content": "S"}, {"role": "user", "content": "Hi", "name": "me"}, )"
            R"({"role": "assistant", "content": "Let me see.", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}, )"
            R"({"role": "tool", "content": "5", "tool_call_id": "a"}])");
}

TEST(TemplateMessages, TakeTheFormThatTheTemplateTakes) {
  const ChatMessage parts{"user", "ab", {"a", "b"}, {}};
  const char* const as_text = R"([{"role": "user", "content": "ab"}])";
  const char* const as_list = R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])";
  const auto forms = [](bool text, bool list) {
    TemplateTraits traits;
    traits.user = {.text = text, .parts = list};
    return traits;
  };
  EXPECT_EQ(given({parts}), as_text);
  EXPECT_EQ(given({parts}, forms(true, true)), as_list) << "as it was sent, where both are understood";
  EXPECT_EQ(given({parts}, forms(false, true)), as_list);
  EXPECT_EQ(given({{"user", "ab"}}, forms(true, true)), as_text);
  EXPECT_EQ(given({{"user", "ab"}}, forms(false, true)), R"([{"role": "user", "content": [{"type": "text", "text": "ab"}]}])");
  EXPECT_EQ(given({{"function", "ab", {"a", "b"}, {}}}, forms(false, true)), R"([{"role": "function", "content": "ab"}])");
}

TEST(TemplateMessages, DevelopersAreTheSystemWhereTheyAreNotKnown) {
  TemplateTraits traits;
  EXPECT_EQ(given({{"developer", "D"}}, traits), R"([{"role": "system", "content": "D"}])");
  traits.has_developer = true;
  EXPECT_EQ(given({{"developer", "D"}}, traits), R"([{"role": "developer", "content": "D"}])");
}

TEST(TemplateMessages, SystemMessagesAreJoinedWhereTwoAreRefused) {
  const std::vector<ChatMessage> messages = {{"developer", "a"}, {"system", "b"}, {"user", "c"}, {"system", "d"}};
  TemplateTraits traits;
  EXPECT_EQ(given(messages, traits), R"([{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, )"
                                     R"({"role": "user", "content": "c"}, {"role": "system", "content": "d"}])");
  traits.one_system = true;
  EXPECT_EQ(given(messages, traits), R"([{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "c"}, )"
                                     R"({"role": "system", "content": "d"}])");
}

TEST(TemplateMessages, CallsStandApartWithTheirResultsWhereTwoAreRefused) {
  const std::vector<ChatMessage> messages = {calling({call("a", "f"), call("b", "g")}), result("b", "of b"), result("a", "of a"),
                                             result("z", "of nobody"), {"user", "So?"}};
  TemplateTraits traits;
  traits.one_call = true;
  EXPECT_EQ(given(messages, traits),
            R"([{"role": "assistant", "content": "Let me see.", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}, )"
            R"({"role": "tool", "content": "of a", "tool_call_id": "a"}, )"
            R"({"role": "assistant", "content": "", "tool_calls": [{"id": "b", "function": {"name": "g"}}]}, )"
            R"({"role": "tool", "content": "of b", "tool_call_id": "b"}, )"
            R"({"role": "tool", "content": "of nobody", "tool_call_id": "z"}, {"role": "user", "content": "So?"}])");
}

TEST(TemplateMessages, ResultsWithoutAnIdAreOfTheCallInTheirPlace) {
  const std::vector<ChatMessage> messages = {calling({call("a", "f"), call("b", "g")}), {"tool", "1"}, {"tool", "2"}};
  TemplateTraits traits;
  traits.one_call = true;
  const std::string text = given(messages, traits);
  EXPECT_LT(text.find("\"1\""), text.find("\"g\""));
  EXPECT_GT(text.find("\"2\""), text.find("\"g\""));
}

TEST(TemplateMessages, ReasoningHasTheNamesThatAreLookedFor) {
  const ChatMessage thought{"assistant", "x", {}, {{"reasoning_content", Value::foreign_text("hm")}}};
  TemplateTraits traits;
  EXPECT_EQ(given({thought}, traits), R"([{"role": "assistant", "content": "x", "reasoning_content": "hm"}])");
  traits.reasoning_names = {"reasoning", "reasoning_content"};
  EXPECT_EQ(given({thought}, traits),
            R"([{"role": "assistant", "content": "x", "reasoning_content": "hm", "reasoning": "hm"}])");
  EXPECT_EQ(given({{"assistant", "x"}}, traits), R"([{"role": "assistant", "content": "x"}])");
}

TEST(TemplateMessages, OnlyRoleWordsAreTheTemplatesOwn) {
  const auto foreign_bytes = [](const std::string& role) {
    const Value messages = template_messages(std::vector<ChatMessage>{{role, "C"}}, {});
    const auto text = jinja::Template::compile("{{ messages[0].role }}:{{ messages[0].content }}")->render({{"messages", messages}});
    std::size_t bytes = 0;
    for (const text::ByteRange& range : text->foreign) bytes += range.end - range.begin;
    return bytes;
  };
  EXPECT_EQ(foreign_bytes("user"), 1U);
  EXPECT_EQ(foreign_bytes("<|eot_id|>"), 11U);
}

}  // namespace
}  // namespace herd::chat
