#pragma once
// The frame of every parse_… function: body -> document -> one reader over the whole object -> value or first refusal.

#include <new>
#include <string_view>
#include <utility>

#include "endpoint/openai/json_document.h"
#include "endpoint/openai/json_fields.h"
#include "endpoint/openai/openai_request.h"

namespace herd::openai {

// `read(JsonFields&, Request&)` reads all the fields it knows; what is left is judged by limits.strict_fields.
template <class Request, class Read>
ApiExpected<Request> parse_body(std::string_view body, const RequestLimits& limits, Read read) try {
  auto document = JsonDocument::parse(body);
  if (!document) return refuse(std::move(document.error()));
  Request request;
  Refusal refusal(limits.strict_fields);
  JsonFields fields(document->root(), nullptr, refusal);
  read(fields, request);
  fields.judge_unknown();
  if (refusal.any()) return refuse(refusal.take());
  request.ignored_fields = refusal.take_ignored();
  return request;
} catch (const std::bad_alloc&) {  // one request more than the memory holds is that request's problem alone
  return refuse(overloaded("out of memory", 1));
}

}  // namespace herd::openai
