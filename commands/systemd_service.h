#pragma once
// What systemd hands to a service and hears from it: listening sockets (sd_listen_fds(3)), readiness (sd_notify(3)).
// Both protocols are an environment variable each; no library is needed.

#include <string_view>
#include <vector>

namespace herd::commands {

// Open, listening sockets passed to this process, in order; empty without a service manager. Close-on-exec from here.
[[nodiscard]] std::vector<int> inherited_sockets();

// "READY=1", "STOPPING=1". Does nothing without NOTIFY_SOCKET.
void notify_service_manager(std::string_view state);

}  // namespace herd::commands
