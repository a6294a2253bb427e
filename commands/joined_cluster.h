#pragma once
// JoinedCluster: a cluster of other processes behind the doors of `herd serve --config`: this one is a gateway of it. Its metrics port
// answers from the start; requests come in once a replica serves.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "actors/processes/gateway_process.h"
#include "commands/gateway_file.h"
#include "commands/served_cluster.h"
#include "endpoint/admin/admin_server.h"
#include "endpoint/pages/node_places.h"
#include "observability/event_log.h"

namespace herd::commands {

class JoinedCluster final : public ServedCluster {
 public:
  // Both outlive it.
  JoinedCluster(const GatewayFile& file, observability::EventLog& log) : file_(file), log_(log) {}

  // Before start(): who takes what the coordinator says of a reload. Any thread.
  void set_on_reload(std::function<void(const reload::ReloadOrder&)> on_reload) { on_reload_ = std::move(on_reload); }
  // To the coordinator, and what follows from settings that are others now. Once on_reload was called, or after start().
  void say(const report::ReloadPrepared& prepared);
  Status on_reloaded(const config::ClusterSpec& spec);

  Status start(const std::string& api_url) override;
  const std::vector<std::string>& names() const override { return names_; }
  const served::ServedText& text() const override { return text_; }
  std::int64_t max_model_len() const override { return max_model_len_; }
  actors::ClusterClient& client() override { return process_->client(); }
  observability::ServingMetrics& metrics() override { return *metrics_; }
  const access::ServedNumerics& numerics() const override { return numerics_; }
  void describe(api::PageConfig& pages) override;
  void on_access(const std::string& resume_digest, const access::ApiKeys* keys) override;
  void on_open(api::ApiGateway& gateway) override;
  void on_drain() override;
  void on_close() override { admin_->close(); }
  // What is lost here may be placed again elsewhere: that is not for a gateway to know.
  std::optional<std::string> none_left() const override { return std::nullopt; }
  bool shutdown(std::chrono::milliseconds patience) override;

 private:
  Status open_admin();
  Status open_text();
  Status join();
  void await_replica();
  void make_metrics();
  void on_order(const reload::ReloadOrder& order);
  void report(report::ProcessState state);
  void on_trouble(const Status& status);
  [[nodiscard]] std::string metrics_text(api::ApiGateway* gateway) const;

  const GatewayFile& file_;
  observability::EventLog& log_;
  std::vector<std::string> names_;
  served::ServedText text_;
  std::int64_t max_model_len_ = 0;
  access::ServedNumerics numerics_;
  std::unique_ptr<observability::ServingMetrics> metrics_;
  std::function<void(const reload::ReloadOrder&)> on_reload_;
  mutable std::mutex mutex_;             // of the next four
  report::ProcessReport report_;
  std::vector<reload::ReloadOrder> early_;  // that came before process_ was there
  bool joined_ = false;                     // it is
  std::vector<pages::NodePlace> nodes_;     // of the file as it was read last
  std::set<std::string> troubles_;       // that were said lately; on the connections' thread
  std::unique_ptr<processes::GatewayProcess> process_;  // its threads use the above
  std::unique_ptr<admin::AdminServer> admin_;  // last: its pages read the above
};

}  // namespace herd::commands
