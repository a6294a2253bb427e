#include "actors/processes/cluster_tls.h"

#include <string_view>

namespace herd::processes {
namespace {

std::string with_name(std::string path, const std::string& name) {
  constexpr std::string_view kGap = "{name}";
  for (std::size_t at = path.find(kGap); at != std::string::npos; at = path.find(kGap, at + name.size()))
    path.replace(at, kGap.size(), name);
  return path;
}

}  // namespace

std::optional<link::TlsFiles> tls_files_of(const config::TlsSpec& tls, const std::string& name) {
  if (!tls.given()) return std::nullopt;
  return link::TlsFiles{with_name(tls.cert_file, name), with_name(tls.key_file, name), with_name(tls.ca_file, name)};
}

}  // namespace herd::processes
