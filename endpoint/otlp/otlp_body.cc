#include "endpoint/otlp/otlp_body.h"

#include <charconv>
#include <cmath>
#include <string_view>

#include "observability/clean_text.h"

namespace herd::otlp {
namespace {

using trace::Attribute;
using trace::Attributes;
using trace::AttributeValue;
using trace::Span;
using trace::SpanId;

constexpr std::string_view kScope = R"({"name":"herd"})";

void append_text(std::string_view text, std::string& out) {
  out += '"';
  observability::append_escaped(out, text);
  out += '"';
}

template <class Number>
void append_number(Number number, std::string& out) {
  char digits[40];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

// A 64-bit number.
void append_long(std::int64_t number, std::string& out) {
  out += '"';
  append_number(number, out);
  out += '"';
}

void append_member(std::string_view name, std::string& out) { out.append(",\"").append(name).append("\":"); }

void append_value(const AttributeValue& value, std::string& out) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    out += "{\"stringValue\":";
    append_text(*text, out);
  } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    out += "{\"intValue\":";
    append_long(*whole, out);
  } else if (const auto* real = std::get_if<double>(&value)) {
    out += "{\"doubleValue\":";
    append_number(std::isfinite(*real) ? *real : 0.0, out);
  } else if (const auto* yes = std::get_if<bool>(&value)) {
    out.append("{\"boolValue\":").append(*yes ? "true" : "false");
  } else {
    out += "{\"arrayValue\":{\"values\":[";
    const char* comma = "";
    for (const std::string& text : std::get<std::vector<std::string>>(value)) {
      out += comma;
      append_value(text, out);
      comma = ",";
    }
    out += "]}";
  }
  out += '}';
}

void append_attributes(const Attributes& attributes, std::string& out) {
  out += "\"attributes\":[";
  const char* comma = "";
  for (const Attribute& attribute : attributes) {
    out.append(comma).append("{\"key\":");
    append_text(attribute.name, out);
    append_member("value", out);
    append_value(attribute.value, out);
    out += '}';
    comma = ",";
  }
  out += ']';
}

void append_events(const Span& span, std::string& out) {
  append_member("events", out);
  out += '[';
  const char* comma = "";
  for (const trace::SpanEvent& event : span.events) {
    out.append(comma).append("{\"timeUnixNano\":");
    append_long(event.unix_ns, out);
    append_member("name", out);
    append_text(event.name, out);
    out += '}';
    comma = ",";
  }
  out += ']';
}

void append_links(const Span& span, std::string& out) {
  append_member("links", out);
  out += '[';
  const char* comma = "";
  for (const SpanId& link : span.links) {
    out.append(comma).append(R"({"traceId":")").append(hex(span.trace)).append(R"(","spanId":")").append(hex(link)).append("\"}");
    comma = ",";
  }
  out += ']';
}

void append_span(const Span& span, std::string& out) {
  out.append(R"({"traceId":")").append(hex(span.trace)).append(R"(","spanId":")").append(hex(span.id)).append("\"");
  if (!span.state.empty()) {
    append_member("traceState", out);
    append_text(span.state, out);
  }
  if (span.parent != SpanId{}) out.append(R"(,"parentSpanId":")").append(hex(span.parent)).append("\"");
  append_member("name", out);
  append_text(span.name, out);
  append_member("kind", out);
  append_number(static_cast<int>(span.kind), out);
  append_member("startTimeUnixNano", out);
  append_long(span.begin_unix_ns, out);
  append_member("endTimeUnixNano", out);
  append_long(span.end_unix_ns, out);
  out += ',';
  append_attributes(span.attributes, out);
  if (!span.events.empty()) append_events(span, out);
  if (!span.links.empty()) append_links(span, out);
  append_member("status", out);
  out += "{\"code\":";
  append_number(static_cast<int>(span.status), out);
  if (!span.status_message.empty()) {
    append_member("message", out);
    append_text(span.status_message, out);
  }
  out += "}}";
}

}  // namespace

std::string trace_body(const trace::Attributes& resource, const trace::Spans& spans) {
  std::string out = R"({"resourceSpans":[{"resource":{)";
  append_attributes(resource, out);
  out.append(R"(},"scopeSpans":[{"scope":)").append(kScope).append(R"(,"spans":[)");
  const char* comma = "";
  for (const Span& span : spans) {
    out += comma;
    append_span(span, out);
    comma = ",";
  }
  out += "]}]}]}";
  return out;
}

}  // namespace herd::otlp
