#pragma once
// GatewayReload: a gateway that takes what its cluster's file says now: the file, and the key file and the certificate it names, are
// read, its server and its connections take what changed. See config_reload.h.

#include <memory>
#include <string>

#include "commands/config_reload.h"
#include "commands/endpoint_server.h"
#include "commands/gateway_file.h"
#include "commands/joined_cluster.h"
#include "commands/stop_guard.h"
#include "endpoint/access/api_keys.h"

namespace herd::commands {

class GatewayReload {
 public:
  // All outlive it, and have not started yet.
  GatewayReload(const GatewayFile& file, observability::EventLog& log, StopGuard& guard, JoinedCluster& cluster, EndpointServer& server);
  GatewayReload(const GatewayReload&) = delete;
  GatewayReload& operator=(const GatewayReload&) = delete;

 private:
  void prepare(reload::FileReading& reading);
  Status prepare_keys(const std::string& path, std::vector<std::string>& changed);

  const GatewayFile& file_;
  EndpointServer& server_;
  std::string keys_digest_;  // of the key file whose keys hold
  // What was prepared last:
  std::string prepared_digest_;
  ServeFlags flags_;
  std::shared_ptr<const access::ApiKeys> keys_;  // null: none are asked for, or they are none of the file's
  ConfigReload reload_;
};

}  // namespace herd::commands
