#include "actors/openai/neutral_fields.h"

#include <algorithm>
#include <array>

#include <boost/json/value.hpp>

namespace herd::openai {
namespace {

namespace json = boost::json;

constexpr std::string_view kTemplateReason = "is refused: chat templates come with the model, not with a request";

constexpr std::array kGenerationFields = {
    NeutralField{"allowed_token_ids"},
    NeutralField{"bad_words", kEmptyArray},
    NeutralField{"cache_prompt", kAnyBool},  // llama.cpp's; the prefix cache changes no answer
    NeutralField{"cache_salt", kNullOnly, {}, {}, "is not supported yet; leave it out"},
    NeutralField{"guided_choice"},
    NeutralField{"guided_decoding_backend"},
    NeutralField{"guided_grammar"},
    NeutralField{"guided_json"},
    NeutralField{"guided_json_object"},
    NeutralField{"guided_regex"},
    NeutralField{"guided_whitespace_pattern"},
    NeutralField{"kv_transfer_params"},
    NeutralField{"length_penalty", kOne},
    NeutralField{"logits_processors", kEmptyArray},
    NeutralField{"metadata", kStringMembers},
    NeutralField{"prompt_logprobs"},
    NeutralField{"request_id", kAnyString},  // X-Request-Id is the one that counts
    NeutralField{"response_format", kTextFormat, {}, {}, "is not supported; only {\"type\": \"text\"} is"},
    NeutralField{"return_tokens_as_token_ids", kFalse},
    NeutralField{"service_tier", kNullOnly, "auto", "default"},
    NeutralField{"spaces_between_special_tokens", kTrue},
    NeutralField{"store", kFalse},
    NeutralField{"structured_outputs"},
    NeutralField{"truncate_prompt_tokens"},
    NeutralField{"use_beam_search", kFalse},
    NeutralField{"user", kAnyString},
    NeutralField{"vllm_xargs", kEmptyObject},
};

constexpr std::array kChatFields = {
    NeutralField{"add_special_tokens", kFalse, {}, {}, "must be false: the chat format writes the special tokens"},
    NeutralField{"audio"},
    NeutralField{"chat_template", kNullOnly, {}, {}, kTemplateReason},
    NeutralField{"chat_template_kwargs", kEmptyObject},
    NeutralField{"continue_final_message", kFalse},
    NeutralField{"documents", kEmptyArray},
    NeutralField{"echo", kFalse},
    NeutralField{"function_call", kNullOnly, "none", "auto"},
    NeutralField{"functions", kEmptyArray},
    NeutralField{"include_reasoning", kAnyBool},
    NeutralField{"mm_processor_kwargs", kEmptyObject},
    NeutralField{"modalities", kTextOnly},
    NeutralField{"parallel_tool_calls", kAnyBool},
    NeutralField{"prediction"},
    NeutralField{"prompt_cache_key", kAnyString},
    NeutralField{"reasoning_effort"},
    NeutralField{"safety_identifier", kAnyString},
    NeutralField{"tool_choice", kNullOnly, "none", "auto"},
    NeutralField{"tools", kEmptyArray},
    NeutralField{"verbosity"},
    NeutralField{"web_search_options"},
};

constexpr std::array kCompletionFields = {
    NeutralField{"prompt_embeds"},
    NeutralField{"suffix", kEmptyString},
};

constexpr std::array kTokenizeFields = {
    NeutralField{"chat_template", kNullOnly, {}, {}, kTemplateReason},
    NeutralField{"chat_template_kwargs", kEmptyObject},
    NeutralField{"continue_final_message", kFalse},
    NeutralField{"mm_processor_kwargs", kEmptyObject},
    NeutralField{"tools", kEmptyArray},
};

// An answer's message sent back as history carries these.
constexpr std::array kMessageFields = {
    NeutralField{"annotations", kEmptyArray},
    NeutralField{"audio"},
    NeutralField{"function_call"},
    NeutralField{"name", kAnyString},
    NeutralField{"reasoning", kEmptyString},
    NeutralField{"reasoning_content", kEmptyString},
    NeutralField{"refusal"},
    NeutralField{"tool_call_id", kAnyString},
    NeutralField{"tool_calls", kEmptyArray, {}, {}, "is not supported yet"},
};

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

bool is_string(const json::value* value, std::string_view text) {
  return value != nullptr && value->is_string() && view(value->get_string()) == text;
}

bool passes_string(std::string_view text, const NeutralField& field) {
  if ((field.accepted & kAnyString) != 0U) return text.find('\0') == std::string_view::npos;
  if (text.empty()) return (field.accepted & kEmptyString) != 0U;
  return text == field.word_a || text == field.word_b;
}

bool passes_object(const json::object& object, const NeutralField& field) {
  if ((field.accepted & kEmptyObject) != 0U && object.empty()) return true;
  if ((field.accepted & kTextFormat) != 0U) return object.size() == 1 && is_string(object.if_contains("type"), "text");
  return (field.accepted & kStringMembers) != 0U &&
         std::ranges::all_of(object, [](const auto& member) { return member.value().is_string(); });
}

bool passes(const json::value& value, const NeutralField& field) {
  switch (value.kind()) {
    case json::kind::bool_: return (field.accepted & (value.get_bool() ? kTrue : kFalse)) != 0U;
    case json::kind::string: return passes_string(view(value.get_string()), field);
    case json::kind::array: {
      const json::array& array = value.get_array();
      if (array.empty()) return (field.accepted & kEmptyArray) != 0U;
      return (field.accepted & kTextOnly) != 0U && array.size() == 1 && is_string(&array.front(), "text");
    }
    case json::kind::object: return passes_object(value.get_object(), field);
    case json::kind::null: return true;
    default: return (field.accepted & kOne) != 0U && value.to_number<double>() == 1.0;
  }
}

}  // namespace

void read_neutral(JsonFields& fields, std::span<const NeutralField> table) {
  for (const NeutralField& field : table) {
    const json::value* value = fields.find(field.name);
    if (value != nullptr && !passes(*value, field)) fields.refuse(field.name, std::string(field.reason));
  }
}

std::span<const NeutralField> generation_neutral_fields() { return kGenerationFields; }
std::span<const NeutralField> chat_neutral_fields() { return kChatFields; }
std::span<const NeutralField> completion_neutral_fields() { return kCompletionFields; }
std::span<const NeutralField> tokenize_neutral_fields() { return kTokenizeFields; }
std::span<const NeutralField> message_neutral_fields() { return kMessageFields; }

}  // namespace herd::openai
