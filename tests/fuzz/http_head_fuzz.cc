// libFuzzer: the HTTP parsers. The first byte of an input says into which pieces the rest is cut; what the parsers and
// the session around them make of it must not depend on that. Where Boost.Beast takes the same head, both must see the
// same request and the same framing.
#include <algorithm>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "endpoint/http/chunked_body.h"
#include "endpoint/http/http_head.h"
#include "endpoint/http/http_session.h"
#include "kernels/check.h"

namespace {

using namespace herd::http;
namespace beast_http = boost::beast::http;

// Small, so that mutation reaches them.
HttpLimits small_limits() {
  HttpLimits limits;
  limits.request_line_bytes = 64;
  limits.header_bytes = 48;
  limits.headers = 6;
  limits.head_bytes = 200;
  limits.body_bytes = 64;
  limits.pipelined_bytes_max = 128;
  return limits;
}

// Pieces of 1 to 16 bytes, or one.
class Pieces {
 public:
  Pieces(std::string_view bytes, std::uint8_t seed) : left_(bytes), state_(seed) {}
  std::string_view next() {
    state_ = state_ * 1664525U + 1013904223U;
    const std::string_view piece = left_.substr(0, whole_ ? left_.size() : 1 + (state_ >> 28));
    left_.remove_prefix(piece.size());
    return piece;
  }
  void make_whole() { whole_ = true; }
  [[nodiscard]] bool empty() const { return left_.empty(); }

 private:
  std::string_view left_;
  std::uint32_t state_;
  bool whole_ = false;
};

struct HeadVerdict {
  ReadStep step = ReadStep::kMore;
  std::size_t size = 0;
  Refusal refusal;
  ParsedHead parsed;
};

HeadVerdict read_head(std::string_view bytes, Pieces pieces, const HttpLimits& limits) {
  HeadReader reader(limits);
  HeadVerdict verdict;
  std::size_t end = 0;
  while (verdict.step == ReadStep::kMore && !pieces.empty()) {
    end += pieces.next().size();
    verdict.step = reader.read(bytes.substr(0, end));
  }
  verdict.size = reader.size();
  verdict.refusal = reader.refusal();
  verdict.parsed = reader.take();
  return verdict;
}

void check_against_beast(std::string_view head, const ParsedHead& ours) {
  beast_http::request_parser<beast_http::empty_body> parser;
  parser.header_limit(64 * 1024);
  parser.body_limit(boost::none);
  boost::beast::error_code error;
  parser.put(boost::asio::buffer(head.data(), head.size()), error);
  if (error || !parser.is_header_done()) return;  // stricter than we are
  const auto& theirs = parser.get();
  HERD_CHECK(std::string_view(theirs.method_string().data(), theirs.method_string().size()) == ours.head.method,
             "the same method");
  const std::string target = ours.head.path + (ours.head.query.empty() ? "" : "?" + ours.head.query);
  std::string their_target(theirs.target().data(), theirs.target().size());
  if (ours.head.absolute) {  // Beast leaves the target whole
    const std::size_t host = their_target.find("://") + 3;
    HERD_CHECK(their_target.substr(host, ours.head.host->size()) == *ours.head.host, "the same host");
    their_target.erase(0, host + ours.head.host->size());
    if (their_target.empty()) their_target = ours.head.method == "OPTIONS" ? "*" : "/";
    if (their_target.starts_with('?')) their_target.insert(0, "/");
  }
  HERD_CHECK(their_target == target || their_target == target + "?", "the same target");
  HERD_CHECK(theirs.version() == (ours.http_1_0 ? 10U : 11U), "the same version");
  HERD_CHECK(parser.chunked() == (ours.framing == BodyFraming::kChunked), "both chunked or neither");
  const auto length = parser.content_length();
  HERD_CHECK(length.has_value() == (ours.framing == BodyFraming::kLength), "both with a length or neither");
  HERD_CHECK(!length || *length == ours.content_length, "the same length");
  // Beast keeps an HTTP/1.0 connection whose client says both; RFC 9112, 9.3 puts "close" first.
  HERD_CHECK(ours.http_1_0 ? parser.keep_alive() || !ours.keep_alive : parser.keep_alive() == ours.keep_alive,
             "both keep the connection or neither");
  // Beast puts equal names side by side.
  std::vector<std::pair<std::string, std::string>> their_headers, our_headers;
  for (const auto& field : theirs) their_headers.emplace_back(field.name_string(), field.value());
  for (const HttpHeader& header : ours.head.headers) our_headers.emplace_back(header.name, header.value);
  std::ranges::sort(their_headers);
  std::ranges::sort(our_headers);
  HERD_CHECK(their_headers == our_headers, "the same headers");
}

void check_heads(std::string_view bytes, const Pieces& whole, const Pieces& split, const HttpLimits& limits) {
  HeadVerdict one = read_head(bytes, whole, limits);
  const HeadVerdict many = read_head(bytes, split, limits);
  HERD_CHECK(one.step == many.step && one.size == many.size && one.refusal == many.refusal, "the same verdict");
  HERD_CHECK(one.parsed.head.headers == many.parsed.head.headers && one.parsed.head.path == many.parsed.head.path &&
                 one.parsed.head.host == many.parsed.head.host && one.parsed.head.absolute == many.parsed.head.absolute &&
                 one.parsed.framing == many.parsed.framing && one.parsed.content_length == many.parsed.content_length &&
                 one.parsed.keep_alive == many.parsed.keep_alive,
             "the same head");
  HERD_CHECK((one.step == ReadStep::kRefused) == (one.refusal.status >= 400), "a refusal has a status");
  HERD_CHECK(one.size <= limits.head_bytes, "no byte beyond the limit is looked at");
  if (one.step == ReadStep::kDone) check_against_beast(bytes.substr(0, one.size), one.parsed);
}

void check_chunks(std::string_view bytes, Pieces whole, Pieces split) {
  const auto decode = [&](Pieces& pieces, std::string& body, std::size_t& used) {
    ChunkedBody chunked(64);
    while (chunked.step() == ReadStep::kMore && !pieces.empty()) used += chunked.feed(pieces.next(), body);
    return std::pair(chunked.step(), chunked.refusal());
  };
  std::string one_body, many_body;
  std::size_t one_used = 0, many_used = 0;
  const auto one = decode(whole, one_body, one_used);
  const auto many = decode(split, many_body, many_used);
  HERD_CHECK(one == many && one_body == many_body && one_used == many_used, "the same body");
  HERD_CHECK(one_body.size() <= 64 && one_used <= bytes.size(), "within its limit");
}

class SizeHandler final : public HttpHandler {
 public:
  std::optional<HttpResponse> on_head(const HttpRequestHead& head) override {
    if (head.path == "/no") return HttpResponse{404, "", {}, "no"};
    return {};
  }
  void on_request(HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) override {
    const std::string body = std::to_string(request.body.size()) + "/" + std::to_string(request.head.headers.size());
    if (request.head.path != "/stream") return responder->respond({200, "", {}, body});
    responder->open_stream({});
    responder->send(body);
    responder->finish_stream();
  }
  HttpResponse on_refused(int status, const std::string& why, const HttpRequestHead*) override {
    return {status, "", {}, why};
  }
};

class Nobody final : public OutboxOwner, public OutboxWaker {
 public:
  void on_outbox_ready() override {}
  void wake(std::shared_ptr<ResponseOutbox>) override {}
};

// All that a session writes and how it ends. "100 Continue" is left out: whether it is said depends on what came along.
std::string converse(Pieces pieces, const HttpLimits& limits) {
  static const std::shared_ptr<Nobody> kNobody = std::make_shared<Nobody>();
  SizeHandler handler;
  SessionShared shared;
  shared.handler = &handler;
  shared.limits = limits;
  HttpSession session(shared, kNobody, *kNobody, "peer", {});
  session.on_open({});
  std::string written;
  while (!pieces.empty()) {
    session.on_bytes(pieces.next(), {});
    while (session.has_output()) {
      const auto output = session.output();
      const std::string text = std::string(output[0]) + std::string(output[1]);
      if (text != "HTTP/1.1 100 Continue\r\n\r\n") written += text;
      session.on_written(text.size(), {});
    }
  }
  return written + std::to_string(static_cast<int>(session.fate())) + "," + std::to_string(shared.counters.requests) +
         "," + std::to_string(shared.counters.refused);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  static const HttpLimits kSmall = small_limits();
  static const HttpLimits kDefault;
  Pieces whole(bytes, 0);
  whole.make_whole();
  const Pieces split(bytes, data[0]);
  check_heads(bytes, whole, split, data[0] % 2 == 0 ? kSmall : kDefault);
  check_chunks(bytes, whole, split);
  HERD_CHECK(converse(whole, kSmall) == converse(split, kSmall), "the same conversation");
  return 0;
}
