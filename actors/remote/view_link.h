#pragma once
// ViewLink: a gateway's connection with the coordinator: its views and losses go to the gateway's actor, its shares of quotas to the
// core; what the gateway's process says of itself, and what is asked of quotas, goes there. It is dialled again whenever it ends; in
// between the gateway routes from its last view.

#include <functional>
#include <memory>
#include <string>

#include "actors/link/link_host.h"
#include "actors/messages/type_ids.h"
#include "actors/roles/shared_gateway.h"
#include "cluster/reload/reload_vote.h"
#include "cluster/report/process_report.h"
#include "cluster/routing/gateway_join.h"

namespace herd::actors {

class ViewLink {
 public:
  // Resource. `host` outlives it. `name`: of the coordinator; empty: any. `shared`: what `gateway` decides with; nothing was asked of
  // it yet. `join`: what is said first on every connection, with the newest view that the gateway has by then; any thread.
  // `on_reload`: what the coordinator says of a reload, on the host's thread; may be empty.
  ViewLink(link::LinkHost& host, const std::string& address, std::uint16_t port, const std::string& name, GatewayHandle gateway,
           std::shared_ptr<SharedGateway> shared, std::function<routing::GatewayJoin()> join,
           std::function<void(const reload::ReloadOrder&)> on_reload);
  ~ViewLink();
  ViewLink(const ViewLink&) = delete;
  ViewLink& operator=(const ViewLink&) = delete;

  // Said now and on every later connection. Any thread.
  void report(std::vector<report::ProcessReport> processes);
  // Over the connection of the moment, if there is one. Any thread.
  void say(const report::ReloadPrepared& prepared);
  [[nodiscard]] bool is_open() const;

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;
  std::unique_ptr<link::Dial> dial_;
};

}  // namespace herd::actors
