// What trying a template finds out about it.
#include "endpoint/chat/template_traits.h"

#include "tests/endpoint/chat/chat_fixture.h"

#include <algorithm>

namespace herd::chat {
namespace {

TemplateTraits traits_of(std::string_view source) {
  const auto prompt = PromptTemplate::compile(std::string(source), kTokens);
  EXPECT_TRUE(prompt) << (prompt ? "" : prompt.error().message());
  return find_traits(*prompt);
}

constexpr const char* kText = "{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}";

TEST(TemplateTraits, OfATemplateThatPrintsWhatItGets) {
  const TemplateTraits traits = traits_of(kText);
  for (const ContentForms& forms : {traits.system, traits.user, traits.assistant, traits.tool}) {
    EXPECT_TRUE(forms.text);
    EXPECT_FALSE(forms.parts) << "a list printed as Python prints it";
  }
  EXPECT_FALSE(traits.one_call || traits.one_system || traits.has_developer);
  EXPECT_TRUE(traits.reasoning_names.empty());
}

TEST(TemplateTraits, OfATemplateThatWritesListsAsJson) {
  EXPECT_FALSE(traits_of("{% for m in messages %}{{ m.content | tojson }}{% endfor %}").user.parts);
  EXPECT_TRUE(traits_of("{% for m in messages %}{{ m.content | tojson }}{% endfor %}").user.text);
}

TEST(TemplateTraits, OfATemplateThatTakesParts) {
  const TemplateTraits both = traits_of(
      "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}"
      "{% endif %}{% endfor %}");
  EXPECT_TRUE(both.user.text && both.user.parts);
  const TemplateTraits only = traits_of("{% for m in messages %}{% for p in m.content %}{{ p['text'] }}{% endfor %}{% endfor %}");
  EXPECT_TRUE(!only.user.text && only.user.parts);
}

TEST(TemplateTraits, AreOfARole) {
  const TemplateTraits traits = traits_of(
      "{% for m in messages %}{% if m.role == 'user' %}{% for p in m.content %}{{ p.text }}{% endfor %}{% else %}{{ m.content | trim }}"
      "{% endif %}{% endfor %}");
  EXPECT_TRUE(!traits.user.text && traits.user.parts);
  EXPECT_TRUE(traits.system.text && !traits.system.parts);
  EXPECT_TRUE(traits.content_of("function").text && !traits.content_of("function").parts);
}

TEST(TemplateTraits, OfATemplateThatRefusesAllOfIt) {
  const TemplateTraits traits = traits_of("{{ raise_exception('no') }}");
  EXPECT_TRUE(traits.user.text && !traits.user.parts && !traits.one_call && !traits.one_system);
}

TEST(TemplateTraits, CountCallsAndSystemMessages) {
  const std::string one_call = "{% for m in messages %}{% if m.tool_calls and m.tool_calls | length != 1 %}{{ raise_exception('one') }}{% endif %}{% endfor %}";
  EXPECT_TRUE(traits_of(one_call + kText).one_call);
  EXPECT_FALSE(traits_of("{% for m in messages %}{% if m.tool_calls %}{{ raise_exception('no tools') }}{% endif %}{% endfor %}" +
                         std::string(kText)).one_call) << "none is not one";
  const std::string one_system =
      "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('one') }}{% endif %}{% endfor %}";
  EXPECT_TRUE(traits_of(one_system + kText).one_system);
}

TEST(TemplateTraits, NameWhatTheTemplateMentions) {
  const TemplateTraits traits = traits_of(
      "{% for m in messages %}{% if m.role == 'developer' %}{% endif %}{{ m.reasoning_content }}{{ m.content }}{% endfor %}");
  EXPECT_TRUE(traits.has_developer);
  EXPECT_NE(std::ranges::find(traits.reasoning_names, "reasoning_content"), traits.reasoning_names.end());
  EXPECT_EQ(std::ranges::find(traits.reasoning_names, "thinking"), traits.reasoning_names.end());
}

}  // namespace
}  // namespace herd::chat
