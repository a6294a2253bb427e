#include "actors/api/front_door.h"

#include <string>
#include <utility>

#include "actors/openai/api_error.h"

namespace herd::api {
namespace {

http::HttpResponse loading() {
  const openai::ApiError error = openai::overloaded("the model is being loaded", 1);
  return {error.status, "application/json", {{"Retry-After", "1"}}, openai::to_json(error)};
}

}  // namespace

std::optional<http::HttpResponse> FrontDoor::on_head(const http::HttpRequestHead& head) {
  if (http::HttpHandler* handler = handler_) return handler->on_head(head);
  if (head.path != "/health") return loading();
  return http::HttpResponse{};
}

void FrontDoor::on_request(http::HttpRequest request, std::shared_ptr<http::HttpResponder> responder,
                           std::function<void()>& on_gone) {
  // Whoever passed on_head met the handler there.
  handler_.load()->on_request(std::move(request), std::move(responder), on_gone);
}

http::HttpResponse FrontDoor::on_refused(int status, const std::string& why) {
  if (http::HttpHandler* handler = handler_) return handler->on_refused(status, why);
  openai::ApiError error = openai::bad_field("", why);
  error.status = status;
  return {status, "application/json", {}, openai::to_json(error)};
}

}  // namespace herd::api
