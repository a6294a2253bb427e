#include "endpoint/api/front_door.h"

#include <string>
#include <utility>

#include "endpoint/api/routes.h"
#include "endpoint/openai/api_error.h"

namespace herd::api {

// Judged is what a browser can be made to send. It names a host in every request; the target is a whole URL only
// towards a proxy that its user has set.
bool FrontDoor::is_for_another(const http::HttpRequestHead& head) const {
  return hosts_ && !head.absolute && head.host && !hosts_->allow(*head.host, head.listener);
}

http::HttpResponse FrontDoor::loading(const http::HttpRequestHead& head) const {
  if (head.method == "OPTIONS") return headers_.preflight(head);
  const auto found = find_route(head.method, head.path);
  const Route* route = std::get_if<Route>(&found);
  if (route != nullptr && *route == Route::kLive) return health_answer({}, headers_.of(head));
  if (route != nullptr && (*route == Route::kHealth || *route == Route::kPing))
    return health_answer({503, "loading", {}}, headers_.of(head));
  return error_answer(openai::overloaded("the model is being loaded", 1), headers_.of(head));
}

bool FrontDoor::answers_over_limit(const http::HttpRequestHead& head) const {
  if (const http::HttpHandler* handler = handler_) return handler->answers_over_limit(head);
  const auto found = find_route(head.method, head.path);
  const Route* route = std::get_if<Route>(&found);
  return route != nullptr && is_probe(*route);
}

std::optional<http::HttpResponse> FrontDoor::on_head(const http::HttpRequestHead& head) {
  // 421: RFC 9110, 7.4, has a status for a request that was not meant for this server. No client repeats it by itself,
  // and none takes it for a matter of keys, as it would a 403.
  if (is_for_another(head))
    return on_refused(421,
                      "the request names a host that is not this server: without API keys it answers to localhost, its "
                      "own address and --allowed-hosts",
                      &head);
  if (http::HttpHandler* handler = handler_) return handler->on_head(head);
  return loading(head);
}

void FrontDoor::on_request(http::HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                           std::function<void()>& on_gone) {
  // Whoever passed on_head met the handler there.
  handler_.load()->on_request(std::move(request), std::move(responder), on_gone);
}

http::HttpResponse FrontDoor::on_refused(int status, const std::string& why, const http::HttpRequestHead* head) {
  if (http::HttpHandler* handler = handler_) return handler->on_refused(status, why, head);
  return error_answer(openai::refused(status, why),
                      head != nullptr ? headers_.of(*head) : std::vector<http::HttpHeader>{});
}

}  // namespace herd::api
