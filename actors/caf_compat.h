#pragma once
// The one place that knows which CAF this is (0.17.6). Newer versions change message registration, delayed sends,
// monitors and configuration keys; actors use these wrappers only for them.

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

#include <caf/all.hpp>

// T travels inside this process only: no inspector, no bytes.
#define HERD_LOCAL_MESSAGE(T) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(T)

namespace herd::actors {

// `sharing`: a stealing worker out of work sleeps 50 us between looks, which a step would pay.
class ActorSystemConfig : public caf::actor_system_config {
 public:
  explicit ActorSystemConfig(std::size_t threads) {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", threads);
  }
};

// Its down handler hears of the other's end.
template <class Self, class Handle>
void watch(Self* self, const Handle& other) {
  self->monitor(other);
}

template <class Self, class Handler>
void on_down(Self* self, Handler handler) {
  self->set_down_handler([handler = std::move(handler)](caf::down_msg& down) { handler(down.source); });
}

template <class Handle>
bool is_same(const Handle& handle, const caf::actor_addr& address) {
  return caf::actor_cast<caf::actor_addr>(handle) == address;
}

template <class Self, class Message>
void tell_self_after(Self* self, std::chrono::milliseconds delay, Message message) {
  self->delayed_send(self, delay, std::move(message));
}

// Ends the other after the message it is working on.
template <class Self, class Handle>
void end(Self* self, const Handle& other) {
  self->send_exit(other, caf::exit_reason::user_shutdown);
}
template <class Self, class Handle>
void kill(Self* self, const Handle& other) {
  self->send_exit(other, caf::exit_reason::kill);
}

}  // namespace herd::actors
