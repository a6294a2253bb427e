#pragma once
// Fields of the two APIs (OpenAI's and vLLM's) that herd knows and does not act on: they pass while they ask for nothing
// (null, false, empty, the default) and are refused by name otherwise. Labels (user, metadata) pass with any value of
// their type, hints that change no answer (prompt_cache_key, session_id) with any value.

#include <span>
#include <string_view>

#include "endpoint/openai/json_fields.h"

namespace herd::openai {

// What a field may hold besides null.
enum NeutralValue : unsigned {
  kNullOnly = 0,
  kFalse = 1U << 0U,
  kTrue = 1U << 1U,
  kEmptyString = 1U << 2U,
  kEmptyArray = 1U << 3U,
  kEmptyObject = 1U << 4U,
  kAnyString = 1U << 5U,
  kOne = 1U << 6U,            // the number 1
  kTextFormat = 1U << 7U,     // {"type": "text"}
  kTextOnly = 1U << 8U,       // ["text"]
  kStringMembers = 1U << 9U,  // an object whose values are strings
  kZero = 1U << 10U,          // the number 0
  kAnything = 1U << 11U,
  kAnyBool = kFalse | kTrue,
};

struct NeutralField {
  std::string_view name;
  unsigned accepted = kNullOnly;
  std::string_view word_a = {}, word_b = {};  // strings that pass as well; empty: none
  std::string_view reason = "is not supported; leave it out";
};

void read_neutral(JsonFields& fields, std::span<const NeutralField> table);

// Of completions and chat; of chat alone; of completions alone; of /tokenize; of /tokenize with a prompt; of one chat
// message; of a part of one.
[[nodiscard]] std::span<const NeutralField> generation_neutral_fields();
[[nodiscard]] std::span<const NeutralField> chat_neutral_fields();
[[nodiscard]] std::span<const NeutralField> completion_neutral_fields();
[[nodiscard]] std::span<const NeutralField> tokenize_neutral_fields();
[[nodiscard]] std::span<const NeutralField> tokenize_prompt_neutral_fields();
[[nodiscard]] std::span<const NeutralField> message_neutral_fields();
[[nodiscard]] std::span<const NeutralField> part_neutral_fields();

// `tools` with `tool_choice`, `functions` with `function_call`: a list that must not be called from asks for nothing.
void read_uncalled(JsonFields& fields, std::string_view list, std::string_view choice);

}  // namespace herd::openai
