#include "endpoint/openai/neutral_fields.h"

#include <algorithm>
#include <array>
#include <tuple>

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
    NeutralField{"ec_transfer_params", kEmptyObject},
    NeutralField{"guided_choice"},
    NeutralField{"guided_decoding_backend"},
    NeutralField{"guided_grammar"},
    NeutralField{"guided_json"},
    NeutralField{"guided_json_object"},
    NeutralField{"guided_regex"},
    NeutralField{"guided_whitespace_pattern"},
    NeutralField{"kv_transfer_params", kEmptyObject},
    NeutralField{"length_penalty", kOne},
    NeutralField{"logprob_token_ids", kEmptyArray},
    NeutralField{"logits_processors", kEmptyArray},
    NeutralField{"metadata", kStringMembers},
    NeutralField{"mm_payload", kNullOnly, "tensors", "none"},  // how pictures would be told of; there are none
    NeutralField{"prompt_cache_key", kAnything},  // equal prompts are found without it
    NeutralField{"prompt_cache_options", kAnything},
    NeutralField{"prompt_cache_retention", kAnything},
    NeutralField{"prompt_logprob_token_ids", kEmptyArray},
    NeutralField{"prompt_logprobs"},
    NeutralField{"repetition_detection"},
    NeutralField{"request_id", kAnyString},  // X-Request-Id is the one that counts
    NeutralField{"response_format", kTextFormat, {}, {}, "is not supported; only {\"type\": \"text\"} is"},
    NeutralField{"return_mm_kwargs", kAnyBool},
    NeutralField{"return_token_offsets", kFalse},
    NeutralField{"return_tokens_as_token_ids", kFalse},
    NeutralField{"return_weight_versions", kFalse},
    NeutralField{"routed_experts_prompt_start", kZero},
    NeutralField{"safety_identifier", kAnyString},
    NeutralField{"service_tier", kNullOnly, "auto", "default"},
    NeutralField{"session_id", kAnything},
    NeutralField{"spaces_between_special_tokens", kTrue},
    NeutralField{"store", kFalse},
    NeutralField{"stream_interval", kOne},
    NeutralField{"structured_outputs"},
    NeutralField{"thinking_token_budget"},
    NeutralField{"truncate_prompt_tokens"},
    NeutralField{"truncation_side", kNullOnly, "left", "right"},  // says where, not whether
    NeutralField{"use_beam_search", kFalse},
    NeutralField{"user", kAnyString},
    NeutralField{"vllm_xargs", kEmptyObject},
    NeutralField{"watermarking", kFalse},
};

constexpr std::array kChatFields = {
    NeutralField{"add_special_tokens", kFalse, {}, {}, "must be false: the chat template writes the special tokens"},
    NeutralField{"audio"},
    NeutralField{"chat_template", kNullOnly, {}, {}, kTemplateReason},
    NeutralField{"echo", kFalse},
    NeutralField{"function_call", kNullOnly, "none", "auto"},
    NeutralField{"include_reasoning", kAnyBool},
    NeutralField{"media_io_kwargs", kEmptyObject},
    NeutralField{"mm_processor_kwargs", kEmptyObject},
    NeutralField{"modalities", kTextOnly},
    NeutralField{"moderation"},
    NeutralField{"parallel_tool_calls", kAnyBool},
    NeutralField{"prediction"},
    NeutralField{"reasoning_effort", kNullOnly, "none", "medium"},  // "medium" is OpenAI's default
    NeutralField{"return_prompt_text", kFalse},
    NeutralField{"tool_choice", kNullOnly, "none", "auto"},
    NeutralField{"verbosity", kNullOnly, "medium"},
    NeutralField{"web_search_options"},
};

constexpr std::array kCompletionFields = {
    NeutralField{"prompt_embeds"},
    NeutralField{"suffix", kEmptyString},
};

constexpr std::array kTokenizeFields = {
    NeutralField{"chat_template", kNullOnly, {}, {}, kTemplateReason},
    NeutralField{"media_io_kwargs", kEmptyObject},
    NeutralField{"mm_processor_kwargs", kEmptyObject},
};

constexpr std::string_view kOfMessages = "is only allowed with messages";

// Fields of a conversation that /tokenize ignores beside a prompt, as long as they say nothing.
constexpr std::array kTokenizePromptFields = {
    NeutralField{"chat_template_kwargs", kEmptyObject, {}, {}, kOfMessages},
    NeutralField{"continue_final_message", kFalse, {}, {}, kOfMessages},
    NeutralField{"documents", kEmptyArray, {}, {}, kOfMessages},
    NeutralField{"tools", kEmptyArray, {}, {}, kOfMessages},
};

// An answer's message sent back as history carries these.
constexpr std::array kMessageFields = {
    NeutralField{"annotations", kEmptyArray},
    NeutralField{"audio"},
    NeutralField{"function_call"},
};

constexpr std::array kPartFields = {
    NeutralField{"prompt_cache_breakpoint", kAnything},
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
  if ((field.accepted & kTextFormat) != 0U) return is_string(object.if_contains("type"), "text");
  return (field.accepted & kStringMembers) != 0U &&
         std::ranges::all_of(object, [](const auto& member) { return member.value().is_string(); });
}

bool passes_number(double number, const NeutralField& field) {
  return ((field.accepted & kOne) != 0U && number == 1.0) || ((field.accepted & kZero) != 0U && number == 0.0);
}

bool passes(const json::value& value, const NeutralField& field) {
  if ((field.accepted & kAnything) != 0U) return true;
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
    default: return passes_number(value.to_number<double>(), field);
  }
}

}  // namespace

void read_neutral(JsonFields& fields, std::span<const NeutralField> table) {
  for (const NeutralField& field : table) {
    const json::value* value = fields.find(field.name);
    if (value == nullptr) continue;
    if (!passes(*value, field)) fields.refuse(field.name, std::string(field.reason));
    if ((field.accepted & kTextFormat) == 0U || !value->is_object()) continue;
    const JsonPath path = fields.path_of(field.name);
    JsonFields format(value->get_object(), &path, fields.refusal());
    std::ignore = format.find("type");
    format.judge_unknown();
  }
}

void read_uncalled(JsonFields& fields, std::string_view list, std::string_view choice) {
  const json::array* tools = fields.array(list);
  if (tools == nullptr || tools->empty() || is_string(fields.find(choice), "none")) return;
  fields.refuse(list, "is not supported yet; leave it out, or say \"" + std::string(choice) + "\": \"none\"");
}

std::span<const NeutralField> generation_neutral_fields() { return kGenerationFields; }
std::span<const NeutralField> chat_neutral_fields() { return kChatFields; }
std::span<const NeutralField> completion_neutral_fields() { return kCompletionFields; }
std::span<const NeutralField> tokenize_neutral_fields() { return kTokenizeFields; }
std::span<const NeutralField> tokenize_prompt_neutral_fields() { return kTokenizePromptFields; }
std::span<const NeutralField> message_neutral_fields() { return kMessageFields; }
std::span<const NeutralField> part_neutral_fields() { return kPartFields; }

}  // namespace herd::openai
