#include "endpoint/admin/admin_handler.h"

#include <utility>

namespace herd::admin {
namespace {

using http::HttpRequest;
using http::HttpRequestHead;
using http::HttpResponse;

constexpr const char* kText = "text/plain; charset=utf-8";
constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

HttpResponse text_answer(int status, const std::string& line) { return {status, kText, {}, line + "\n"}; }

constexpr const char* kJson = "application/json";

bool is_page(const std::string& path) { return path == "/live" || path == "/ready" || path == "/metrics" || path == "/targets"; }

HttpResponse no_such_page() { return text_answer(404, "here are /live, /ready and /metrics, and /targets of a coordinator"); }

}  // namespace

void AdminHandler::open(AdminPages pages) {
  const std::scoped_lock lock(mutex_);
  pages_ = std::move(pages);
}

bool AdminHandler::answers_over_limit(const HttpRequestHead& head) const { return is_page(head.path); }

std::optional<HttpResponse> AdminHandler::on_head(const HttpRequestHead& head) {
  if (!head.absolute && head.host && !hosts_.allow(*head.host, head.listener))
    return text_answer(421, "the request names a host that is not this process");
  if (!is_page(head.path)) return no_such_page();
  if (head.method == "GET" || head.method == "HEAD") return std::nullopt;
  return HttpResponse{405, kText, {{"Allow", "GET, HEAD"}}, "GET and HEAD only\n"};
}

void AdminHandler::on_request(HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                              std::function<void()>& /*on_gone*/) {
  responder->respond(page(request.head.path));
}

HttpResponse AdminHandler::page(const std::string& path) const {
  if (path == "/live") return text_answer(200, "ok");
  const std::scoped_lock lock(mutex_);
  if (path == "/metrics") return {200, kMetricsType, {}, pages_.metrics ? pages_.metrics() : std::string()};
  if (path == "/targets") return pages_.targets ? HttpResponse{200, kJson, {}, pages_.targets()} : no_such_page();
  const std::optional<std::string> why = pages_.not_ready ? pages_.not_ready() : std::optional<std::string>("it starts");
  if (!why) return text_answer(200, "ok");
  return {503, kText, {{"Retry-After", "1"}}, *why + "\n"};
}

HttpResponse AdminHandler::on_refused(int status, const std::string& why, const HttpRequestHead* /*head*/) {
  return text_answer(status, why);
}

}  // namespace herd::admin
