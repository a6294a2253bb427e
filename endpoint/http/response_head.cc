#include "endpoint/http/response_head.h"

#include <chrono>
#include <cstdio>
#include <string_view>

#include "endpoint/http/http_head.h"

namespace herd::http {
namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";  // allowed to be empty
  }
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

bool is_servers_own(std::string_view name) {
  return same_name(name, "content-length") || same_name(name, "transfer-encoding") || same_name(name, "connection") ||
         same_name(name, "date");
}

}  // namespace

std::string http_date(std::int64_t unix_seconds) {
  using namespace std::chrono;
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const sys_seconds time{seconds{unix_seconds}};
  const sys_days day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  char text[64];
  const int size =
      std::snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d GMT", kDays[weekday{day}.c_encoding()],
                    static_cast<unsigned>(date.day()), kMonths[static_cast<unsigned>(date.month()) - 1],
                    static_cast<int>(date.year()), static_cast<int>(clock.hours().count()),
                    static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()));
  return {text, static_cast<std::size_t>(size)};
}

void append_response_head(std::string& out, const HttpResponse& response, const ResponseFraming& framing) {
  // The version is the server's, also towards HTTP/1.0 (RFC 9110, 6.2).
  out.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ").append(reason(response.status));
  out.append("\r\n");
  if (framing.unix_seconds) append_header(out, "Date", http_date(*framing.unix_seconds));
  if (!response.content_type.empty() && is_header_value(response.content_type)) {
    append_header(out, "Content-Type", response.content_type);
  }
  for (const HttpHeader& header : response.headers) {
    if (is_servers_own(header.name) || !is_token(header.name) || !is_header_value(header.value)) continue;
    append_header(out, header.name, header.value);
  }
  if (framing.stream) {
    if (!framing.http_1_0) append_header(out, "Transfer-Encoding", "chunked");
  } else if (has_body(response.status)) {
    append_header(out, "Content-Length", std::to_string(response.body.size()));
  }
  if (!framing.keep_alive) {
    append_header(out, "Connection", "close");
  } else if (framing.http_1_0) {
    append_header(out, "Connection", "keep-alive");
  }
  out.append("\r\n");
}

}  // namespace herd::http
