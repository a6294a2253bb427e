#pragma once
// ServedCluster: what stands behind the doors of `herd serve`: the words of a model, and a client of whatever computes it: an engine
// of this process, or a cluster of others.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "actors/client/cluster_client.h"
#include "commands/wall_clock.h"
#include "endpoint/access/api_keys.h"
#include "endpoint/access/served_numerics.h"
#include "endpoint/api/api_gateway.h"
#include "endpoint/served/served_text.h"
#include "kernels/status.h"
#include "observability/recent_events.h"
#include "observability/serving_metrics.h"

namespace herd::commands {

class ServedCluster {
 public:
  virtual ~ServedCluster() = default;

  // Returns when something serves. `api_url`: where clients will find it. On a thread that ends with it.
  [[nodiscard]] virtual Status start(const std::string& api_url) = 0;

  // The rest only after start().
  [[nodiscard]] virtual const std::vector<std::string>& names() const = 0;  // of the model; the first is the default
  [[nodiscard]] virtual const served::ServedText& text() const = 0;
  [[nodiscard]] virtual std::int64_t max_model_len() const = 0;
  [[nodiscard]] virtual actors::ClusterClient& client() = 0;
  [[nodiscard]] virtual observability::ServingMetrics& metrics() = 0;
  // Which bits it makes; decided by then, or some time after on_open().
  [[nodiscard]] virtual const access::ServedNumerics& numerics() const = 0;

  // What it tells the status page of itself, beside events().
  virtual void describe(api::PageConfig& /*pages*/) {}
  // What an operator looks for.
  [[nodiscard]] observability::RecentEvents& events() { return events_; }

  // Which keys its clients have, null: none; and the digest of the one that streams are resumed by (endpoint/access/access_digest.h).
  // Before on_open(), and whenever they are others.
  virtual void on_access(const std::string& /*resume_digest*/, const access::ApiKeys* /*keys*/) {}
  // Requests come in from here on; `gateway` is there until on_close().
  virtual void on_open(api::ApiGateway& gateway) = 0;
  // New requests are refused from here on.
  virtual void on_drain() {}
  // Nothing of the gateway given to on_open() is used any more when this returns.
  virtual void on_close() {}

  // Why nothing can be served any more for good; nullopt: something serves, or may again.
  [[nodiscard]] virtual std::optional<std::string> none_left() const = 0;
  // Ends what computes; false: it hangs and cannot be ended.
  virtual bool shutdown(std::chrono::milliseconds patience) = 0;

 private:
  observability::RecentEvents events_{unix_time};
};

}  // namespace herd::commands
