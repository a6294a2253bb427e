#pragma once
// HeadReader: the one place that decides what the bytes before a body mean: request line, headers, and how the body is
// framed (RFC 9112, sections 2 to 7). Stricter than the RFC wherever two parsers might read the same bytes differently:
// that is what request smuggling lives on. Pure and incremental; the verdict does not depend on how the bytes arrive.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "endpoint/http/http_limits.h"
#include "endpoint/http/http_message.h"

namespace herd::http {

enum class BodyFraming { kNone, kLength, kChunked };

struct ParsedHead {
  HttpRequestHead head;  // without peer and listener
  bool http_1_0 = false;
  bool keep_alive = true;  // what the client wishes
  bool expect_continue = false;
  BodyFraming framing = BodyFraming::kNone;
  std::uint64_t content_length = 0;  // with kLength; below 10^19

  [[nodiscard]] bool has_body() const { return framing == BodyFraming::kChunked || content_length > 0; }
};

// Why bytes were refused: fixed text for the client.
struct Refusal {
  int status = 0;
  const char* why = "";
  bool operator==(const Refusal&) const = default;
};

enum class ReadStep { kMore, kDone, kRefused };

class HeadReader {
 public:
  // Refers to `limits`.
  explicit HeadReader(const HttpLimits& limits) : limits_(&limits) {}

  // `bytes`: all that was received behind the last request, that is the same text as before, or longer. Looks at each
  // byte once. kDone and kRefused are final.
  ReadStep read(std::string_view bytes);

  [[nodiscard]] std::size_t size() const { return scanned_; }  // with kDone: bytes of the head
  [[nodiscard]] ParsedHead take() { return std::move(parsed_); }
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }

 private:
  ReadStep refuse(int status, const char* why);
  ReadStep on_line(std::string_view line);
  ReadStep on_request_line(std::string_view line);
  ReadStep on_target(std::string_view target);
  ReadStep on_header(std::string_view line);
  ReadStep on_known_header(std::string_view name, std::string_view value);
  ReadStep on_content_length(std::string_view value);
  ReadStep on_end();
  ReadStep on_transfer_encoding(std::string_view value);

  const HttpLimits* limits_;
  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
  bool after_cr_ = false;
  bool skipped_empty_line_ = false;
  bool in_headers_ = false;
  ReadStep step_ = ReadStep::kMore;
  Refusal refusal_;
  ParsedHead parsed_;
  std::size_t hosts_ = 0;
  bool has_length_ = false;
  bool has_transfer_encoding_ = false;
  bool wants_close_ = false;
  bool wants_keep_alive_ = false;
};

// For the parsers beside this one.
bool is_token(std::string_view text);         // RFC 9110: one or more tchar
bool is_header_value(std::string_view text);  // no control characters but tab
constexpr bool is_control(unsigned char byte) { return byte < 0x20 || byte == 0x7F; }

}  // namespace herd::http
