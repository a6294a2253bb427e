#include "commands/gateway_reload.h"

#include <algorithm>
#include <utility>

#include "runtime/digest/digest.h"
#include "runtime/files/file_bytes.h"

namespace herd::commands {
namespace {

constexpr std::size_t kKeyFileBytesMax = std::size_t{1} << 20;
constexpr const char* kKeyFile = "http.api_key_file";

// Of a file that can be read; else empty.
std::string digest_of(const std::string& path) {
  const auto text = path.empty() ? Expected<std::string>(std::string()) : files::read_text_file(path, kKeyFileBytesMax);
  if (!text || text->empty()) return {};
  digest::Digester digester("key file");
  digester.add(*text);
  return digest::hex(digester.finish());
}

}  // namespace

GatewayReload::GatewayReload(const GatewayFile& file, observability::EventLog& log, StopGuard& guard, JoinedCluster& cluster,
                             EndpointServer& server)
    : file_(file),
      server_(server),
      keys_digest_(digest_of(file.flags.api_key_file)),
      reload_({.path = file.path,
               .role = handshake::Role::kGateway,
               .name = file.gateway.name,
               .running = file.spec,
               .prepare = [this](reload::FileReading& reading) { prepare(reading); },
               .take =
                   [this, &cluster](const config::ClusterSpec& spec) {
                     server_.take(flags_, keys_);
                     keys_digest_ = prepared_digest_;
                     return cluster.on_reloaded(spec);
                   },
               .say = [&cluster](const report::ReloadPrepared& prepared) { cluster.say(prepared); },
               .wake = [&guard] { guard.wake(); }},
              log) {
  cluster.set_on_reload([this](const reload::ReloadOrder& order) { reload_.post(order); });
  server.set_source({.on_signal = [this] { reload_.reload_alone(); },
                     .on_woken = [this] { reload_.carry_out(); },
                     .on_end = [this] { reload_.close(); }});
}

void GatewayReload::prepare(reload::FileReading& reading) {
  const auto own = std::ranges::find(reading.spec.gateways, file_.gateway.name, &config::GatewaySpec::name);
  auto flags = flags_of(reading.spec, *own, file_.flags);  // it is there: the reading is right
  if (!flags) {
    reading.reading.status = flags.error();
    return;
  }
  flags_ = std::move(*flags);
  reading.reading.status = check(flags_);
  const http::HttpServerConfig& http = file_.flags.http;  // whose files are the server's as long as it runs
  if (reading.reading.status.ok() && !http.tls_certificate.empty())
    reading.reading.status = http::HttpServer::check_certificate(http.tls_certificate, http.tls_key);
  if (reading.reading.status.ok()) reading.reading.status = prepare_keys(flags_.api_key_file, reading.reading.changed);
}

Status GatewayReload::prepare_keys(const std::string& path, std::vector<std::string>& changed) {
  keys_ = nullptr;
  if (path.empty()) return {};
  auto keys = access::ApiKeys::load(path);
  if (!keys) return keys.error();
  keys_ = std::move(*keys);
  prepared_digest_ = digest_of(path);
  if (prepared_digest_ != keys_digest_ && std::ranges::find(changed, kKeyFile) == changed.end()) changed.emplace_back(kKeyFile);
  return {};
}

}  // namespace herd::commands
