// Fields that only one endpoint has: prompts, messages, logprobs, tokens.
#include <algorithm>
#include <vector>

#include "endpoint/jinja/template.h"
#include "endpoint/openai/neutral_fields.h"
#include "tests/endpoint/openai/openai_fixture.h"

namespace herd::openai {
namespace {

using Texts = std::vector<std::string>;
using Ids = std::vector<std::vector<TokenId>>;

struct Refused {
  const char* body;
  const char* param;
};

// "role: content" of each message.
Texts said(const chat::Conversation& conversation) {
  Texts texts;
  for (const chat::ChatMessage& message : conversation.messages) texts.push_back(message.role + ": " + message.content);
  return texts;
}

// Plain data, as Hugging Face's tojson writes it.
std::string as_json(const jinja::Value& value) {
  return jinja::Template::compile("{{ value | tojson }}")->render({{"value", value}}).value().bytes;
}

// What the first message carries beside role and content.
std::string members(const std::string& message) {
  const std::string body = R"({"messages":[)" + message + "]}";
  return as_json(jinja::make_dict(accepted(parse_chat(body, small_limits()), body).conversation.messages.front().members));
}

TEST(CompletionRequest, ThePromptHasFourForms) {
  const auto prompts = [](const std::string& prompt) {
    const std::string body = R"({"prompt":)" + prompt + "}";
    return accepted(parse_completion(body, small_limits()), body).prompts;
  };
  EXPECT_EQ(std::get<Texts>(prompts(R"("Hi")")), Texts{"Hi"});
  EXPECT_EQ(std::get<Texts>(prompts(R"(["Hi","a\u0000b"])")), (Texts{"Hi", std::string("a\0b", 3)}));
  EXPECT_EQ(std::get<Ids>(prompts("[1,2.0,999]")), (Ids{{1, 2, 999}}));
  EXPECT_EQ(std::get<Ids>(prompts("[[1],[2,3]]")), (Ids{{1}, {2, 3}}));
}

TEST(CompletionRequest, WrongPromptsAreRefusedWithTheirPlace) {
  const std::vector<Refused> kRows = {
      {R"({})", "prompt"},
      {R"({"prompt":null})", "prompt"},
      {R"({"prompt":""})", "prompt"},
      {R"({"prompt":5})", "prompt"},
      {R"({"prompt":true})", "prompt"},
      {R"({"prompt":{}})", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":[""]})", "prompt[0]"},
      {R"({"prompt":["a",1]})", "prompt[1]"},
      {R"({"prompt":["a",["b"]]})", "prompt[1]"},
      {R"({"prompt":[1,"a"]})", "prompt[1]"},
      {R"({"prompt":[1,[2]]})", "prompt[1]"},
      {R"({"prompt":[1,null]})", "prompt[1]"},
      {R"({"prompt":[1,true]})", "prompt[1]"},
      {R"({"prompt":[true]})", "prompt[0]"},
      {R"({"prompt":[null]})", "prompt[0]"},
      {R"({"prompt":[{}]})", "prompt[0]"},
      {R"({"prompt":[[]]})", "prompt[0]"},
      {R"({"prompt":[[1],2]})", "prompt[1]"},
      {R"({"prompt":[[1],[]]})", "prompt[1]"},
      {R"({"prompt":[[1],["a"]]})", "prompt[1][0]"},
      {R"({"prompt":[[1],[2,1000]]})", "prompt[1][1]"},
      {R"({"prompt":[[[1]]]})", "prompt[0][0]"},
      {R"({"prompt":[-1]})", "prompt[0]"},
      {R"({"prompt":[1000]})", "prompt[0]"},
      {R"({"prompt":[1.5]})", "prompt[0]"},
      {R"({"prompt":[1e400]})", "prompt[0]"},
      {R"({"prompt":[4294967297]})", "prompt[0]"},
  };
  for (const auto& [body, param] : kRows) expect_refused(parse_completion(body, small_limits()), param, body);
}

TEST(CompletionRequest, PromptsAreBounded) {
  const auto repeat = [](const std::string& element, std::size_t count) {
    std::string list = "[" + element;
    for (std::size_t i = 1; i < count; ++i) list += "," + element;
    return R"({"prompt":)" + list + "]}";
  };
  EXPECT_TRUE(parse_completion(repeat(R"("a")", 256), small_limits()));
  expect_refused(parse_completion(repeat(R"("a")", 257), small_limits()), "prompt", "257 prompts");
  expect_refused(parse_completion(repeat("[1]", 257), small_limits()), "prompt", "257 lists");
  EXPECT_TRUE(parse_completion(repeat("1", 512), small_limits()));
  const auto ids = parse_completion(repeat("1", 513), small_limits());
  expect_refused(ids, "prompt", "513 ids");
  EXPECT_EQ(ids.error().code, "context_length_exceeded");
  EXPECT_TRUE(parse_completion(R"({"prompt":")" + std::string(4096, 'x') + "\"}", small_limits()));
  const auto text = parse_completion(R"({"prompt":["a",")" + std::string(4097, 'x') + "\"]}", small_limits());
  expect_refused(text, "prompt[1]", "4097 bytes");
  EXPECT_EQ(text.error().code, "context_length_exceeded");
}

TEST(CompletionRequest, NoTokensAreAnAnswerOnlyWithEcho) {
  const auto request = parse_completion(completion_body(R"("max_tokens":0,"echo":true,"logprobs":0)"), small_limits());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->fields.max_tokens, 0U);
  EXPECT_TRUE(request->echo);
  EXPECT_EQ(request->fields.logprobs, 0);
  const std::string body = completion_body(R"("max_tokens":0,"echo":false)");
  expect_refused(parse_completion(body, small_limits()), "max_tokens", body);
}

TEST(CompletionRequest, FieldsOfItsOwn) {
  const std::vector<Refused> kRows = {
      {R"("logprobs":true)", "logprobs"},      {R"("logprobs":21)", "logprobs"},
      {R"("logprobs":-1)", "logprobs"},        {R"("logprobs":"1")", "logprobs"},
      {R"("suffix":"x")", "suffix"},
      {R"("suffix":1)", "suffix"},             {R"("echo":1)", "echo"},
      {R"("prompt_embeds":"x")", "prompt_embeds"}, {R"("add_special_tokens":0)", "add_special_tokens"},
      {R"("parse_special":0)", "parse_special"},
  };
  for (const auto& [more, param] : kRows) {
    const std::string body = completion_body(more);
    expect_refused(parse_completion(body, small_limits()), param, body);
  }
  const std::string right = completion_body(R"("logprobs":20,"suffix":"","add_special_tokens":false,"echo":null)");
  const auto request = parse_completion(right, small_limits());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->fields.logprobs, 20);
  EXPECT_FALSE(request->add_special_tokens);
  EXPECT_TRUE(request->parse_special);
  EXPECT_FALSE(parse_completion(completion_body(R"("parse_special":false)"), small_limits())->parse_special);
  EXPECT_EQ(parse_completion(completion_body(), small_limits())->fields.logprobs, -1);
}

TEST(ChatRequest, LogprobsAreASwitchAndANumber) {
  const auto logprobs = [](const char* more) { return parse_chat(chat_body(more), small_limits())->fields.logprobs; };
  EXPECT_EQ(logprobs(""), -1);
  EXPECT_EQ(logprobs(R"("logprobs":false)"), -1);
  EXPECT_EQ(logprobs(R"("logprobs":false,"top_logprobs":0)"), -1);
  EXPECT_EQ(logprobs(R"("logprobs":true)"), 0);
  EXPECT_EQ(logprobs(R"("logprobs":true,"top_logprobs":20)"), 20);
  const std::vector<Refused> kRows = {
      {R"("logprobs":1)", "logprobs"},
      {R"("top_logprobs":5)", "top_logprobs"},
      {R"("logprobs":false,"top_logprobs":1)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":-1)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":true)", "top_logprobs"},
  };
  for (const auto& [more, param] : kRows) {
    const std::string body = chat_body(more);
    expect_refused(parse_chat(body, small_limits()), param, body);
  }
}

TEST(ChatRequest, NeutralFieldsPassAndOthersAreRefusedByName) {
  const std::vector<std::pair<const char*, const char*>> kRows = {
      // field, a value that asks for something
      {"tools", R"([{"type":"function"}])"}, {"functions", R"([{}])"}, {"tool_choice", R"("required")"},
      {"tools", "{}"}, {"media_io_kwargs", R"({"a":1})"}, {"moderation", "{}"}, {"return_prompt_text", "true"},
      {"function_call", R"({"name":"f"})"}, {"parallel_tool_calls", "1"}, {"modalities", R"(["text","audio"])"},
      {"audio", R"({"voice":"x"})"}, {"prediction", R"({"type":"content"})"}, {"web_search_options", "{}"},
      {"reasoning_effort", R"("low")"}, {"verbosity", R"("low")"}, {"chat_template", R"("{{x}}")"}, {"add_special_tokens", "true"},
      {"mm_processor_kwargs", R"({"a":1})"}, {"echo", "true"}, {"include_reasoning", "1"},
  };
  for (const auto& [field, value] : kRows) {
    const std::string quoted = in_quotes(field) + ":";
    EXPECT_TRUE(parse_chat(chat_body(quoted + "null"), small_limits())) << field;
    expect_refused(parse_chat(chat_body(quoted + value), small_limits()), field, field);
  }
  for (const NeutralField& field : chat_neutral_fields())
    EXPECT_TRUE(std::ranges::any_of(kRows, [&](const auto& row) { return row.first == field.name; })) << field.name;
  EXPECT_TRUE(parse_chat(chat_body(
      R"("tools":[],"functions":[],"tool_choice":"none","function_call":"auto","parallel_tool_calls":true,)"
      R"("modalities":["text"],"chat_template_kwargs":{},"verbosity":"medium","reasoning_effort":"medium",)"
      R"("media_io_kwargs":{},"return_prompt_text":false,)"
      R"("documents":[],"continue_final_message":false,"add_special_tokens":false,"mm_processor_kwargs":{},)"
      R"("echo":false,"include_reasoning":true,"add_generation_prompt":false)"), small_limits()));
}

TEST(ChatRequest, ToolsThatMustNotBeCalledPass) {
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  EXPECT_TRUE(parse_chat(chat_body(tools + R"(,"tool_choice":"none")"), small_limits()));
  EXPECT_TRUE(parse_chat(chat_body(R"("functions":[{"name":"f"}],"function_call":"none")"), small_limits()));
  for (const char* choice : {"", R"(,"tool_choice":"auto")", R"(,"function_call":"none")", R"(,"tool_choice":null)"})
    expect_refused(parse_chat(chat_body(tools + choice), small_limits()), "tools", choice);
}

TEST(ChatRequest, WhatAnAssistantRefusedWithIsWhatItSaid) {
  const auto text = [](const std::string& message) {
    const std::string body = R"({"messages":[{"role":"assistant",)" + message + "}]}";
    return accepted(parse_chat(body, small_limits()), body).conversation.messages.front().content;
  };
  EXPECT_EQ(text(R"("content":[{"type":"refusal","refusal":"I cannot."}])"), "I cannot.");
  EXPECT_EQ(text(R"("content":[{"type":"text","text":"No. "},{"type":"refusal","refusal":"I cannot."}])"),
            "No. I cannot.");
  EXPECT_EQ(text(R"("content":null,"refusal":"I cannot.")"), "I cannot.");
  EXPECT_EQ(text(R"("refusal":"I cannot.")"), "I cannot.");
  EXPECT_EQ(text(R"("content":"No. ","refusal":"I cannot.")"), "No. I cannot.");
  EXPECT_EQ(text(R"("content":"Yes.","refusal":null)"), "Yes.");
  EXPECT_EQ(text(R"("content":[{"type":"text","text":"a","prompt_cache_breakpoint":{"mode":"explicit"}}])"), "a");
}

TEST(ChatRequest, AnAssistantAndAFunctionMaySayNothing) {
  const std::string body = R"({"messages":[{"role":"function","name":"f","content":"5"},{"role":"function","name":"f","content":null},)"
                           R"({"role":"assistant","content":null},{"role":"assistant"}]})";
  EXPECT_EQ(said(accepted(parse_chat(body, small_limits()), body).conversation),
            (Texts{"function: 5", "function: ", "assistant: ", "assistant: "}));
}

TEST(ChatRequest, MessagesBecomeRolesAndText) {
  const std::string body =
      R"({"messages":[{"role":"developer","content":"Be brief."},{"role":"user","name":"me","content":)"
      R"([{"type":"text","text":"a"},{"type":"text","text":""},{"type":"text","text":"b\u0000"}]},)"
      R"({"role":"assistant","content":"","refusal":null,"tool_calls":null,"function_call":null,"annotations":[],)"
      R"("audio":null},{"role":"tool","content":"5","tool_call_id":"x"},{"role":"ipython","content":"6"},)"
      R"({"role":"system","content":"s"}]})";
  const chat::Conversation read = accepted(parse_chat(body, small_limits()), body).conversation;
  EXPECT_EQ(said(read), (Texts{"developer: Be brief.", std::string("user: ab\0", 9), "assistant: ", "tool: 5", "ipython: 6", "system: s"}));
  EXPECT_EQ(read.messages[1].parts, (Texts{"a", "", std::string("b\0", 2)}));
  EXPECT_TRUE(read.messages[0].parts.empty());
}

TEST(ChatRequest, MessagesCarryWhatTheyWereSentWith) {
  EXPECT_EQ(members(R"({"role":"user","content":"a","name":"me"})"), R"({"name": "me"})");
  EXPECT_EQ(members(R"({"role":"tool","content":"5","tool_call_id":"x","name":"f"})"), R"({"tool_call_id": "x", "name": "f"})");
  EXPECT_EQ(members(R"({"role":"assistant","content":"a","reasoning_content":"hm","thinking":"b\u0000"})"),
            R"({"reasoning_content": "hm", "thinking": "b\u0000"})");
  EXPECT_EQ(members(R"({"role":"assistant","content":"a","tool_calls":[],"name":null})"), "{}");
  EXPECT_EQ(members(R"({"role":"user","content":"a","tool_calls":[],"reasoning":""})"), "{}");
}

TEST(ChatRequest, ToolCallsHaveTheirArgumentsAsObjects) {
  const auto calls = [](const std::string& function, const std::string& more = "") {
    return members(R"({"role":"assistant","content":null,"tool_calls":[{)" + more + R"("function":)" + function + "}]}");
  };
  EXPECT_EQ(calls(R"({"name":"f","arguments":"{\"z\": [1, 2.50, null], \"a\": {\"b\": \"\u00e9\"}}"})", R"("id":"c1","type":"function",)"),
            R"({"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"z": [1, 2.5, null], "a": {"b": "é"}}}}]})");
  EXPECT_EQ(calls(R"({"arguments":{"a":1},"name":"f"})"), R"({"tool_calls": [{"function": {"arguments": {"a": 1}, "name": "f"}}]})");
  for (const char* empty : {R"({"name":"f"})", R"({"name":"f","arguments":""})", R"({"name":"f","arguments":null})"})
    EXPECT_NE(calls(empty).find(R"("arguments": {})"), std::string::npos) << empty;
  for (const char* text : {R"("{")", R"("[1]")", R"("5")", R"("{\"a\": 18446744073709551615}")"})
    EXPECT_NE(calls(std::string(R"({"name":"f","arguments":)") + text + "}").find(R"("arguments": ")"), std::string::npos)
        << "what is no object stays the text that it is: " << text;
}

// Whatever a template would be given counts, and reading ends where there is too much of it.
TEST(ChatRequest, NumbersAndListsCountAsText) {
  const auto refused_at = [](const std::string& body) {
    const auto read = parse_chat(body, small_limits());
    return read ? std::string() : read.error().code + " " + read.error().param;
  };
  std::string numbers = "0";
  for (int i = 1; i < 2500; ++i) numbers += ",0";
  const std::string call = R"({"function":{"name":"f","arguments":"{\"a\":[)" + numbers + R"(]}"}})";
  const std::string said = R"({"role":"assistant","tool_calls":[)";
  EXPECT_EQ(refused_at(R"({"messages":[)" + said + call + "]}]}"), "");
  EXPECT_EQ(refused_at(R"({"messages":[)" + said + call + "," + call + "]}]}"), "context_length_exceeded messages[0].tool_calls");
  EXPECT_EQ(refused_at(R"({"messages":[)" + said + call + "]}," + said + call + R"(]},"never read"]})"), "context_length_exceeded messages");
  EXPECT_EQ(refused_at(chat_body(R"("documents":[{"a":[[],[)" + numbers + "],[" + numbers + "]]}]")), "context_length_exceeded documents");
}

// None of it may spell a control token, not even the name of an argument.
TEST(ChatRequest, EveryTextOfAMessageIsForeign) {
  const std::string body = R"({"messages":[{"role":"assistant","content":null,"name":"n","reasoning":"r","tool_calls":[{"id":"i",)"
                           R"("function":{"name":"f","arguments":"{\"k\": [\"v\"]}"}}]}],"documents":[{"d":"e"}],)"
                           R"("chat_template_kwargs":{"w":{"x":"y"}}})";
  const chat::Conversation read = accepted(parse_chat(body, small_limits()), body).conversation;
  const auto text = jinja::Template::compile(
      "{% set m = messages %}{{ m.name }}{{ m.reasoning }}{{ m.tool_calls[0].id }}{{ m.tool_calls[0].function.name }}"
      "{% for k, v in m.tool_calls[0].function.arguments.items() %}{{ k }}{{ v[0] }}{% endfor %}"
      "{% for k, v in documents[0].items() %}{{ k }}{{ v }}{% endfor %}{% for k, v in w.items() %}{{ k }}{{ v }}{% endfor %}")
      ->render({{"messages", jinja::make_dict(read.messages[0].members)}, {"documents", read.documents}, read.variables[0]});
  ASSERT_TRUE(text) << text.error().message();
  EXPECT_EQ(text->bytes, "nrifkvdexy");
  EXPECT_EQ(text->foreign, (std::vector<text::ByteRange>{{0, 10}}));
}

TEST(ChatRequest, WhatATemplateIsGivenBesideMessages) {
  const auto read = [](const std::string& more) { return accepted(parse_chat(chat_body(more), small_limits()), more).conversation; };
  const chat::Conversation plain = read("");
  EXPECT_TRUE(plain.add_generation_prompt && !plain.continue_final_message && plain.variables.empty());
  EXPECT_TRUE(plain.documents.is_none() && plain.tools.is_none());
  EXPECT_FALSE(read(R"("add_generation_prompt":false)").add_generation_prompt);
  const chat::Conversation open = read(R"("continue_final_message":true)");
  EXPECT_TRUE(open.continue_final_message && !open.add_generation_prompt);
  const chat::Conversation given = read(R"("chat_template_kwargs":{"enable_thinking":false,"n":[1,1.5]},"documents":[{"title":"t"}])");
  EXPECT_EQ(as_json(jinja::make_dict(given.variables)), R"({"enable_thinking": false, "n": [1, 1.5]})");
  EXPECT_EQ(as_json(given.documents), R"([{"title": "t"}])");
  const std::vector<Refused> kRows = {
      {R"("continue_final_message":true,"add_generation_prompt":true)", "continue_final_message"},
      {R"("continue_final_message":1)", "continue_final_message"},
      {R"("chat_template_kwargs":[])", "chat_template_kwargs"},
      {R"("chat_template_kwargs":{"messages":[]})", "chat_template_kwargs.messages"},
      {R"("chat_template_kwargs":{"chat_template":"x"})", "chat_template_kwargs.chat_template"},
      {R"("chat_template_kwargs":{"a":[18446744073709551615]})", "chat_template_kwargs.a"},
      {R"("documents":{})", "documents"},
      {R"("documents":[{},"a"])", "documents[1]"},
  };
  for (const auto& [more, param] : kRows) expect_refused(parse_chat(chat_body(more), small_limits()), param, more);
  const std::string longer = R"("documents":[{"text":")" + std::string(4097, 'x') + "\"}]";
  EXPECT_EQ(parse_chat(chat_body(longer), small_limits()).error().code, "context_length_exceeded");
}

TEST(ChatRequest, WrongMessagesAreRefusedWithTheirPlace) {
  const std::vector<Refused> kRows = {
      {R"({})", "messages"},
      {R"({"messages":null})", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":"Hi"})", "messages"},
      {R"({"messages":{}})", "messages"},
      {R"({"messages":["Hi"]})", "messages[0]"},
      {R"({"messages":[null]})", "messages[0]"},
      {R"({"messages":[{}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":null}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":5}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":[]}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":{}}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":["a"]}]})", "messages[0].content[0]"},
      {R"({"messages":[{"role":"user","content":[{}]}]})", "messages[0].content[0].type"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0].text"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":1}]}]})", "messages[0].content[0].text"},
      {R"({"messages":[{"role":"user","content":[{"type":"refusal","refusal":"a"}]}]})", "messages[0].content[0].type"},
      {R"({"messages":[{"role":"assistant","content":[{"type":"refusal"}]}]})", "messages[0].content[0].refusal"},
      {R"({"messages":[{"role":"assistant","content":[{"type":"refusal","refusal":5}]}]})",
       "messages[0].content[0].refusal"},
      {R"({"messages":[{"role":"user","content":"a","refusal":"b"}]})", "messages[0].refusal"},
      {R"({"messages":[{"role":"assistant","refusal":5}]})", "messages[0].refusal"},
      {R"({"messages":[{"role":"tool","content":null}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}}]}]})",
       "messages[0].content[1].type"},
      {R"({"messages":[{"role":"user","content":[{"type":"input_audio"}]}]})", "messages[0].content[0].type"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"wizard","content":"b"}]})", "messages[1].role"},
      {R"({"messages":[{"role":"","content":"b"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user\u0000","content":"b"}]})", "messages[0].role"},
      {R"({"messages":[{"role":5,"content":"b"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user","content":"b","name":"a\u0000"}]})", "messages[0].name"},
      {R"({"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"x"}]}]})", "messages[0].tool_calls[0].function"},
      {R"({"messages":[{"role":"assistant","content":null,"tool_calls":["x"]}]})", "messages[0].tool_calls[0]"},
      {R"({"messages":[{"role":"assistant","content":null,"tool_calls":{}}]})", "messages[0].tool_calls"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"{}"}}]}]})",
       "messages[0].tool_calls[0].function.name"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":[]}}]}]})",
       "messages[0].tool_calls[0].function.arguments"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"type":"custom","function":{"name":"f"}}]}]})",
       "messages[0].tool_calls[0].type"},
      {R"({"messages":[{"role":"user","content":"a","tool_calls":[{"function":{"name":"f"}}]}]})", "messages[0].tool_calls"},
      {R"({"messages":[{"role":"user","content":"a","reasoning":"b"}]})", "messages[0].reasoning"},
  };
  for (const auto& [body, param] : kRows) expect_refused(parse_chat(body, small_limits()), param, body);
}

TEST(ChatRequest, MessagesAreBounded) {
  const auto messages = [](std::size_t count, const std::string& content) {
    std::string list;
    for (std::size_t i = 0; i < count; ++i)
      list.append(i == 0 ? "" : ",").append(R"({"role":"user","content":)").append(content).append("}");
    return R"({"messages":[)" + list + "]}";
  };
  const auto parts = [](std::size_t count) {
    std::string list;
    for (std::size_t i = 0; i < count; ++i) list.append(i == 0 ? "" : ",").append(R"({"type":"text","text":"a"})");
    return "[" + list + "]";
  };
  EXPECT_TRUE(parse_chat(messages(2048, R"("a")"), small_limits()));
  expect_refused(parse_chat(messages(2049, R"("a")"), small_limits()), "messages", "2049 messages");
  EXPECT_TRUE(parse_chat(messages(1, parts(64)), small_limits()));
  expect_refused(parse_chat(messages(1, parts(65)), small_limits()), "messages[0].content", "65 parts");
  EXPECT_TRUE(parse_chat(messages(2, in_quotes(std::string(2048, 'x'))), small_limits()));
  const auto longer = parse_chat(messages(2, in_quotes(std::string(2049, 'x'))), small_limits());
  expect_refused(longer, "messages", "4098 bytes");
  EXPECT_EQ(longer.error().code, "context_length_exceeded");
  const auto named = parse_chat(R"({"messages":[{"role":"user","content":"a","name":")" + std::string(4097, 'x') + "\"}]}", small_limits());
  expect_refused(named, "messages", "a name is text, too");
  std::string calls = R"({"function":{"name":"f"}})";
  for (int i = 0; i < 128; ++i) calls += R"(,{"function":{"name":"f"}})";
  expect_refused(parse_chat(R"({"messages":[{"role":"assistant","tool_calls":[)" + calls + "]}]}", small_limits()),
                 "messages[0].tool_calls", "129 calls");
}

TEST(TokenizeRequest, TakesAPromptOrMessages) {
  const auto prompt = parse_tokenize(R"({"model":"m","prompt":"","return_token_strs":true})", small_limits());
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->model, "m");
  EXPECT_TRUE(prompt->return_token_strs && prompt->add_special_tokens && prompt->parse_special && !prompt->conversation);
  EXPECT_FALSE(parse_tokenize(R"({"prompt":"a","add_special_tokens":false})", small_limits())->add_special_tokens);
  const auto chat = parse_tokenize(
      R"({"messages":[{"role":"user","content":"Hi"}],"add_generation_prompt":false,"add_special_tokens":false,)"
      R"("tools":[]})",
      small_limits());
  ASSERT_TRUE(chat);
  EXPECT_EQ(said(*chat->conversation), Texts{"user: Hi"});
  EXPECT_FALSE(chat->conversation->add_generation_prompt || chat->add_special_tokens);
  EXPECT_TRUE(chat->conversation->tools.is_none());
  const auto tools = parse_tokenize(chat_body(R"("tools":[{"type":"function","function":{"name":"f"}}])"), small_limits());
  EXPECT_EQ(as_json(tools->conversation->tools), R"([{"type": "function", "function": {"name": "f"}}])");
  EXPECT_FALSE(parse_tokenize(R"({"prompt":"a","parse_special":false})", small_limits())->parse_special);
  const std::vector<Refused> kRows = {
      {R"({})", "prompt"},
      {R"({"prompt":1})", "prompt"},
      {R"({"prompt":["a"]})", "prompt"},
      {R"({"prompt":"a","messages":[{"role":"user","content":"Hi"}]})", "prompt"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":[{"role":"user","content":"Hi"}],"add_special_tokens":true})", "add_special_tokens"},
      {R"({"prompt":"a","return_token_strs":1})", "return_token_strs"},
      {R"({"prompt":"a","chat_template":"x"})", "chat_template"},
      {R"({"prompt":"a","tools":[{}]})", "tools"},
      {R"({"prompt":"a","continue_final_message":true})", "continue_final_message"},
      {R"({"messages":[{"role":"user","content":"Hi"}],"tools":["f"]})", "tools[0]"},
      {R"({"messages":[{"role":"user","content":"Hi"}],"parse_special":false})", "parse_special"},
  };
  for (const auto& [body, param] : kRows) expect_refused(parse_tokenize(body, small_limits()), param, body);
  EXPECT_EQ(parse_tokenize(R"({"prompt":")" + std::string(4097, 'x') + "\"}", small_limits()).error().code,
            "context_length_exceeded");
}

TEST(DetokenizeRequest, TakesIds) {
  EXPECT_EQ(parse_detokenize(R"({"tokens":[0,999]})", small_limits())->tokens, (std::vector<TokenId>{0, 999}));
  EXPECT_TRUE(parse_detokenize(R"({"tokens":[],"model":"m"})", small_limits())->tokens.empty());
  const std::vector<Refused> kRows = {
      {R"({})", "tokens"},
      {R"({"tokens":5})", "tokens"},
      {R"({"tokens":"5"})", "tokens"},
      {R"({"tokens":[1000]})", "tokens[0]"},
      {R"({"tokens":[1,-1]})", "tokens[1]"},
      {R"({"tokens":[1,"2"]})", "tokens[1]"},
  };
  for (const auto& [body, param] : kRows) expect_refused(parse_detokenize(body, small_limits()), param, body);
  std::string many = R"({"tokens":[0)";
  for (int i = 0; i < 512; ++i) many += ",1";
  EXPECT_EQ(parse_detokenize(many + "]}", small_limits()).error().code, "context_length_exceeded");
}

}  // namespace
}  // namespace herd::openai
