#pragma once
// ConfigReload: how a node or a gateway takes what its cluster's file says now, while it runs: with all others, as the coordinator
// orders, or by itself alone after SIGHUP. Orders come on a thread of the connection; the main thread does all else. The decisions are
// cluster/reload/reload_vote.h's and cluster/config/spec_changes.h's.

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "cluster/config/cluster_spec.h"
#include "cluster/handshake/hello.h"
#include "cluster/reload/file_reading.h"
#include "cluster/reload/reload_vote.h"
#include "observability/event_log.h"

namespace herd::commands {

struct ConfigReloadGround {
  std::string path;
  handshake::Role role = handshake::Role::kGateway;
  std::string name;
  config::ClusterSpec running;
  // Whatever else has to be read before it can be taken; what it changes is added to `reading.changed`, what is wrong is its status.
  // Main thread, as the next; may be empty.
  std::function<void(reload::FileReading& reading)> prepare;
  // Takes what was prepared last. Not ok: certificates were not taken, the rest was.
  std::function<Status(const config::ClusterSpec&)> take;
  // To the coordinator. Any thread.
  std::function<void(const report::ReloadPrepared&)> say;
  // Has the main thread call carry_out(). Any thread.
  std::function<void()> wake;
};

class ConfigReload {
 public:
  // `log` outlives it.
  ConfigReload(ConfigReloadGround ground, observability::EventLog& log) : ground_(std::move(ground)), log_(log) {}

  // Any thread.
  void post(const reload::ReloadOrder& order);
  // Main thread: does what was ordered.
  void carry_out();
  // Main thread: SIGHUP.
  void reload_alone();
  // Main thread: the process ends. Whatever is asked is agreed to from here on, and nothing is taken: others are not to wait for it.
  void close();

 private:
  void carry_out(const report::ReloadPrepare& prepare);
  void carry_out(const report::ReloadDecision& decision);
  [[nodiscard]] reload::Reading read();
  void take(const std::vector<std::string>& changed);

  static constexpr std::size_t kOrdersMax = 64;

  const ConfigReloadGround ground_;
  observability::EventLog& log_;
  config::ClusterSpec running_ = ground_.running;  // main thread, as the next three
  config::ClusterSpec read_;
  std::vector<std::string> changed_;               // in it
  reload::ReloadVote vote_;
  std::mutex mutex_;  // of the below
  std::deque<reload::ReloadOrder> orders_;
  bool closed_ = false;
};

}  // namespace herd::commands
