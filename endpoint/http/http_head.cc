#include "endpoint/http/http_head.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "endpoint/http/host_port.h"

namespace herd::http {
namespace {

constexpr std::size_t kMethodBytesMax = 32;
constexpr std::size_t kLengthDigitsMax = 19;  // fits 64 bits whatever the digits

constexpr std::array<bool, 256> kTokenBytes = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (const char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) table[c] = true;
  return table;
}();

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A path and perhaps a query: visible ASCII, no fragment.
bool is_path(std::string_view path) {
  return !path.empty() && std::ranges::all_of(path, [](char c) { return c > 0x20 && c < 0x7F && c != '#'; });
}

// Not the grammar of hosts, only what could make two readers see two hosts.
bool is_plausible_host(std::string_view host) {
  return std::ranges::all_of(host, [](char c) {
    return c > 0x20 && c < 0x7F && std::string_view("/?#@\\,\"<>^`{|}").find(c) == std::string_view::npos;
  });
}

// A host that is there. No user: '@' is not plausible.
bool is_authority(std::string_view authority) {
  const auto parts = split_host_port(authority);
  return parts && !parts->host.empty() && is_plausible_host(parts->host);
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return kTokenBytes[static_cast<unsigned char>(c)]; });
}

bool is_header_value(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return c != '\t' && is_control(static_cast<unsigned char>(c)); });
}

ReadStep HeadReader::refuse(int status, const char* why) {
  refusal_ = {status, why};
  return step_ = ReadStep::kRefused;
}

ReadStep HeadReader::read(std::string_view bytes) {
  while (step_ == ReadStep::kMore && scanned_ < bytes.size()) {
    if (scanned_ >= limits_->head_bytes) return refuse(431, "the request's head is too long");
    const auto byte = static_cast<unsigned char>(bytes[scanned_]);
    ++scanned_;
    if (after_cr_) {
      if (byte != '\n') return refuse(400, "a carriage return without a line feed");
      after_cr_ = false;
      const std::size_t start = std::exchange(line_start_, scanned_);
      step_ = on_line(bytes.substr(start, scanned_ - 2 - start));
      continue;
    }
    if (byte == '\r') {
      after_cr_ = true;
      continue;
    }
    if (byte == '\n') return refuse(400, "a line feed without a carriage return");
    if (is_control(byte) && !(in_headers_ && byte == '\t')) return refuse(400, "a control character in the head");
    const std::size_t length = scanned_ - line_start_;
    if (in_headers_ && length > limits_->header_bytes) return refuse(431, "a header is too long");
    if (!in_headers_ && length > limits_->request_line_bytes) return refuse(414, "the request line is too long");
  }
  return step_;
}

ReadStep HeadReader::on_line(std::string_view line) {
  if (in_headers_) return line.empty() ? on_end() : on_header(line);
  // RFC 9112, 2.2: some clients send an empty line behind a body that does not count it.
  if (line.empty() && !std::exchange(skipped_empty_line_, true)) return ReadStep::kMore;
  in_headers_ = true;
  return on_request_line(line);
}

ReadStep HeadReader::on_request_line(std::string_view line) {
  const std::size_t method_end = line.find(' ');
  const std::size_t target_end = line.rfind(' ');
  if (method_end == std::string_view::npos || target_end == method_end) {
    return refuse(400, "the request line is not METHOD TARGET VERSION");
  }
  const std::string_view method = line.substr(0, method_end);
  const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  const std::string_view version = line.substr(target_end + 1);
  if (!is_token(method) || method.size() > kMethodBytesMax) return refuse(400, "the method is not a token");
  if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
      !is_digit(version[7])) {
    return refuse(400, "the request line does not end in an HTTP version");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  parsed_.head.method = method;
  parsed_.http_1_0 = version == "HTTP/1.0";
  return on_target(target);
}

ReadStep HeadReader::on_target(std::string_view target) {
  const bool options = parsed_.head.method == "OPTIONS";
  const std::size_t scheme = target.starts_with('/') ? std::string_view::npos : target.find("://");
  std::string_view path = target;
  if (scheme != std::string_view::npos) {  // RFC 9112, 3.2.2: how a client speaks to its proxy
    if (!same_name(target.substr(0, scheme), "http") && !same_name(target.substr(0, scheme), "https")) {
      return refuse(400, "the target's scheme is not http or https");
    }
    target.remove_prefix(scheme + 3);
    const std::size_t end = std::min(target.find_first_of("/?"), target.size());
    if (!is_authority(target.substr(0, end))) return refuse(400, "the target's host is not HOST or HOST:PORT");
    parsed_.head.absolute = true;
    parsed_.head.host = target.substr(0, end);
    path = target.substr(end);
    if (path.empty()) path = options ? "*" : "/";
  }
  if (path == "*" && options) {  // RFC 9112, 3.2.4: the server itself
    parsed_.head.path = path;
    return ReadStep::kMore;
  }
  const bool no_path = parsed_.head.absolute && path.front() == '?';  // http://host?query
  if (!is_path(path) || (path.front() != '/' && !no_path)) {
    return refuse(400, "the target is not a path: '/', visible ASCII characters, no fragment");
  }
  const std::size_t question = path.find('?');
  parsed_.head.path = no_path ? "/" : path.substr(0, question);
  if (question != std::string_view::npos) parsed_.head.query = path.substr(question + 1);
  return ReadStep::kMore;
}

ReadStep HeadReader::on_header(std::string_view line) {
  if (parsed_.head.headers.size() >= limits_->headers) return refuse(431, "too many headers");
  if (line.front() == ' ' || line.front() == '\t') return refuse(400, "a folded header");
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return refuse(400, "a header without a colon");
  const std::string_view name = line.substr(0, colon);
  if (!is_token(name)) return refuse(400, "a header's name is not a token");  // a space before the colon, too
  const std::string_view value = trim(line.substr(colon + 1));
  parsed_.head.headers.push_back({std::string(name), std::string(value)});
  return on_known_header(name, value);
}

ReadStep HeadReader::on_known_header(std::string_view name, std::string_view value) {
  if (same_name(name, "content-length")) return on_content_length(value);
  if (same_name(name, "transfer-encoding")) {
    return on_transfer_encoding(value);
  } else if (same_name(name, "host")) {
    if (++hosts_ > 1) return refuse(400, "several Host headers");
    if (!value.empty() && !is_authority(value)) return refuse(400, "the Host header is not a host");
    if (!parsed_.head.absolute) parsed_.head.host = value;  // else it is ignored (RFC 9112, 3.2.2)
  } else if (same_name(name, "connection")) {
    for (const std::string_view option : list_elements(value)) {  // "upgrade" and whatever else there is means nothing
      if (same_name(option, "close")) wants_close_ = true;
      if (same_name(option, "keep-alive")) wants_keep_alive_ = true;
    }
  } else if (same_name(name, "expect")) {
    for (const std::string_view expectation : list_elements(value)) {
      if (!same_name(expectation, "100-continue")) return refuse(417, "the only expectation met is 100-continue");
      parsed_.expect_continue = true;
    }
  }
  return ReadStep::kMore;
}

// Names in any case, empty elements skipped. Without "chunked" at the end nobody can know where the body ends, whatever
// a Content-Length says, so that is a 400 (RFC 9112, 6.3), also for the withdrawn "identity"; a coding in front of it
// is one that is not known here (6.1).
ReadStep HeadReader::on_transfer_encoding(std::string_view value) {
  if (std::exchange(has_transfer_encoding_, true)) return refuse(400, "several Transfer-Encoding headers");
  const std::vector<std::string_view> codings = list_elements(value);
  const auto is_chunked = [](std::string_view coding) { return same_name(coding, "chunked"); };
  if (codings.empty() || !is_chunked(codings.back())) return refuse(400, "the last Transfer-Encoding is not chunked");
  if (std::ranges::count_if(codings, is_chunked) > 1) return refuse(400, "Transfer-Encoding names chunked twice");
  if (codings.size() > 1) return refuse(501, "the only Transfer-Encoding is chunked");
  parsed_.framing = BodyFraming::kChunked;
  return ReadStep::kMore;
}

ReadStep HeadReader::on_content_length(std::string_view value) {
  if (std::exchange(has_length_, true)) return refuse(400, "several Content-Length headers");
  if (value.empty() || value.size() > kLengthDigitsMax || !std::ranges::all_of(value, is_digit)) {
    return refuse(400, "Content-Length is not a number of bytes");
  }
  for (const char digit : value) parsed_.content_length = parsed_.content_length * 10 + (digit - '0');
  parsed_.framing = BodyFraming::kLength;
  return ReadStep::kMore;
}

ReadStep HeadReader::on_end() {
  if (has_transfer_encoding_ && has_length_) return refuse(400, "both Transfer-Encoding and Content-Length");
  if (has_transfer_encoding_ && parsed_.http_1_0) return refuse(400, "Transfer-Encoding in an HTTP/1.0 request");
  if (hosts_ == 0 && !parsed_.http_1_0) return refuse(400, "no Host header");
  parsed_.keep_alive = !wants_close_ && (!parsed_.http_1_0 || wants_keep_alive_);
  if (parsed_.http_1_0) parsed_.expect_continue = false;  // RFC 9110, 10.1.1
  return ReadStep::kDone;
}

}  // namespace herd::http
