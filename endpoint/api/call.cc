#include "endpoint/api/call.h"

#include "runtime/steady_clock.h"

namespace herd::api {

void CallAnswers::respond(const Call& call, http::HttpResponse response) const {
  metrics_.on_http_response(route_path(call.route), response.status, seconds_between(call.begin, steady_now()),
                            call.method);
  call.responder->respond(std::move(response));
}

void CallAnswers::answer(const Call& call, int status, const char* type, std::string body) const {
  respond(call, {status, type, call.headers, std::move(body)});
}

void CallAnswers::error(const Call& call, const openai::ApiError& error) const {
  respond(call, error_answer(error, call.headers));
}

void CallAnswers::health(const Call& call, const Health& health) const {
  respond(call, health_answer(health, call.headers));
}

}  // namespace herd::api
