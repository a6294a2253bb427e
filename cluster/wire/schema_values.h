#pragma once
// The structs that more than one conversation carries, field by field. Included by codec .cc files only.
// read_x throws Refusal or kj::Exception (flat_message.h); check_x states what a value may hold.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cluster/schema/generate.capnp.h"
#include "cluster/schema/ids.capnp.h"
#include "cluster/wire/flat_message.h"
#include "kernels/status.h"
#include "runtime/step/attempt_key.h"
#include "runtime/step/sampling_params.h"
#include "runtime/step/step_plan.h"

namespace herd::wire {

// A list of plain numbers, as long as `count_max` allows.
template <class Element, class List>
std::vector<Element> read_numbers(const List& list, std::size_t count_max, const char* what) {
  require(list.size() <= count_max, what);
  std::vector<Element> numbers;
  numbers.reserve(list.size());
  for (const auto number : list) numbers.push_back(Element(number));
  return numbers;
}

// `what` names the field in a refusal. Texts are shown in logs and terminals: check_text lets nothing through that steers them.
std::string read_text(capnp::Text::Reader from, std::size_t bytes_max, const char* what);
void check_text(const std::string& value, std::size_t bytes_max, const char* what);
inline capnp::Text::Reader text(const std::string& value) { return {value.c_str(), value.size()}; }
// As check_text lets it through: cut, control characters as spaces. For texts that a process did not write itself.
std::string clean_text(const std::string& value, std::size_t bytes_max);

// Sentences for people, at most `count_max` of at most `bytes_max` bytes each. They are written clean.
void write_texts(capnp::List<capnp::Text>::Builder to, const std::vector<std::string>& texts, std::size_t bytes_max);
std::vector<std::string> read_texts(capnp::List<capnp::Text>::Reader from, std::size_t count_max, std::size_t bytes_max, const char* what);
void check_texts(const std::vector<std::string>& texts, std::size_t count_max, std::size_t bytes_max, const char* what);

// How long something may drain: 0 to a day.
void check_drain_seconds(double seconds);

void write(schema::Status::Builder to, const Status& status);
Status read_status(schema::Status::Reader from);
// The same of a Status that people read: control characters are written as spaces, and refused.
void write_clean(schema::Status::Builder to, const Status& status);
void check_clean(const Status& status, const char* what);

void write(schema::AttemptKey::Builder to, const step::AttemptKey& attempt);
step::AttemptKey read_attempt(schema::AttemptKey::Reader from);

void write(schema::SamplingParams::Builder to, const step::SamplingParams& params);
step::SamplingParams read_sampling(schema::SamplingParams::Reader from);
void check(const step::SamplingParams& params);

void write(schema::SampledToken::Builder to, const step::SampledToken& token);
step::SampledToken read_sampled(schema::SampledToken::Reader from);
void check(const step::SampledToken& token);

void write(schema::OutputRows::Builder to, const step::OutputRows& rows);
step::OutputRows read_rows(schema::OutputRows::Reader from);
void check(const step::OutputRows& rows);

void write(schema::PromptLogprobs::Builder to, const step::PromptLogprobs& run);
step::PromptLogprobs read_prompt_logprobs(schema::PromptLogprobs::Reader from);
void check(const step::PromptLogprobs& run);

schema::OutputSelector to_schema(step::OutputSelector selector);
step::OutputSelector read_selector(schema::OutputSelector selector);

void check_token_ids(std::span<const TokenId> tokens, const char* what);

// Runs checks that throw Refusal.
template <class Check>
Status status_of(Check check_all) {
  try {
    check_all();
  } catch (const Refusal& refusal) {
    return refusal.status;
  }
  return {};
}

}  // namespace herd::wire
