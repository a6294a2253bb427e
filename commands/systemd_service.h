#pragma once
// What systemd hands to a service and hears from it: listening sockets (sd_listen_fds(3)), readiness (sd_notify(3)), signs of life
// (sd_watchdog_enabled(3)). Each protocol is an environment variable or two; no library is needed. What these say is said to this
// process alone: its children are not given them (actors/children).

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace herd::commands {

// Open, listening sockets passed to this process, in order; empty without a service manager. Close-on-exec from here.
[[nodiscard]] std::vector<int> inherited_sockets();

// Whether there is a service manager that listens (NOTIFY_SOCKET).
[[nodiscard]] bool has_service_manager();
// "READY=1", "STOPPING=1", "STATUS=…". Does nothing without NOTIFY_SOCKET.
void notify_service_manager(std::string_view state);
// Settings are read again from here on, until READY=1.
void notify_reloading();
// A sign of life (WATCHDOG=1). Waits for nobody: one that finds the manager's queue full is lost.
void notify_alive();

// Within how many microseconds the manager waits for a sign of life of this process; nullopt: it does not.
[[nodiscard]] std::optional<std::int64_t> watchdog_interval_us();

}  // namespace herd::commands
