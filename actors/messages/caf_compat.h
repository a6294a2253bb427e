#pragma once
// The one place that knows which CAF this is (0.17.6). Newer versions change message registration, delayed sends,
// monitors and configuration keys; actors use these wrappers only for them.

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>

#include <caf/all.hpp>

#include "kernels/check.h"

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

// A thread that is no actor and has sent or asked keeps a reference to the system's logger for as long as it lives, and
// the system's destructor waits for that. Call when done.
inline void forget_actor_system() { caf::logger::set_current_actor_system(nullptr); }

// Its down handler hears of the other's end.
template <class Self, class Handle>
void watch(Self* self, const Handle& other) {
  self->monitor(other);
}

// No more. To be called for those that live on when oneself ends: they would remember the watcher for as long as they live.
template <class Self, class Handle>
void unwatch(Self* self, const Handle& other) {
  self->demonitor(caf::actor_cast<caf::actor_addr>(other));
}

// `handler(address, killed)`: killed, or ended by itself.
template <class Self, class Handler>
void on_down(Self* self, Handler handler) {
  self->set_down_handler([handler = std::move(handler)](caf::down_msg& down) {
    handler(down.source, down.reason == caf::exit_reason::kill);
  });
}

// CAF ends an actor that throws, without a word; ours throw only when something is broken.
template <class Self>
void end_process_on_exception(Self* self) {
  self->set_exception_handler([](caf::scheduled_actor*, std::exception_ptr& thrown) -> caf::error {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::bad_alloc&) {
      std::fputs("herd: out of memory (or of address space, ulimit -v): lower --kv-cache-memory, --max-model-len, "
                 "--max-num-batched-tokens or --threads\n", stderr);
      std::_Exit(4);  // a resource was missing; nothing of ours is broken
    } catch (const std::exception& exception) {
      check_failed(__FILE__, __LINE__, "an actor threw", exception.what());
    } catch (...) {
      check_failed(__FILE__, __LINE__, "an actor threw", "no exception of the standard library");
    }
  });
}

template <class Handle>
bool is_same(const Handle& handle, const caf::actor_addr& address) {
  return caf::actor_cast<caf::actor_addr>(handle) == address;
}

template <class Self, class Message>
void tell_self_after(Self* self, std::chrono::nanoseconds delay, Message message) {
  self->delayed_send(self, delay, std::move(message));
}

// Ends oneself as one that is broken.
template <class Self>
void end_broken(Self* self) {
  self->quit(caf::exit_reason::unhandled_exception);
}

// Ends the other after the message it is working on.
template <class Handle>
void end(const Handle& other) {
  caf::anon_send_exit(other, caf::exit_reason::user_shutdown);
}

// `handler()` instead of the end that another actor asks for: what this one stands for has to end first.
template <class Self, class Handler>
void on_end_asked(Self* self, Handler handler) {
  self->set_exit_handler([handler = std::move(handler)](caf::exit_msg&) { handler(); });
}

}  // namespace herd::actors
