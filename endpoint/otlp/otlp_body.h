#pragma once
// Spans as the body of POST /v1/traces: an ExportTraceServiceRequest of OpenTelemetry's protocol in its JSON encoding, in which ids are
// hexadecimal digits, 64-bit numbers decimal strings and enumerators numbers. Pure.

#include <string>

#include "observability/trace/span.h"

namespace herd::otlp {

// `resource`: what the process is. Texts are made valid UTF-8, and cut at 2 KiB.
[[nodiscard]] std::string trace_body(const trace::Attributes& resource, const trace::Spans& spans);

}  // namespace herd::otlp
