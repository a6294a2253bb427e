#include "commands/certificate_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "actors/link/certificate_maker.h"
#include "commands/argument_check.h"
#include "endpoint/access/secret_file.h"
#include "kernels/process_limits.h"

namespace herd::commands {
namespace {

namespace fs = std::filesystem;
using handshake::Role;
using link::PeerName;

constexpr std::size_t kGatewaysMax = 1000;
constexpr std::size_t kKeyBytesMax = 64 * 1024;
constexpr std::int64_t kAuthorityDays = 3650;
constexpr std::int64_t kDaysMax = 36500;

Expected<std::vector<std::string>> gateway_names(const std::string& text) {
  std::vector<std::string> names;
  if (const auto count = whole_number(text, false)) {
    const std::uint64_t number = std::stoull(*count);
    if (number > kGatewaysMax) return fail(usage_error("--gateways: at most 1000, not " + text));
    for (std::uint64_t i = 1; i <= number; ++i) names.push_back("gateway-" + std::to_string(i));
    return names;
  }
  std::istringstream list(text);
  for (std::string name; std::getline(list, name, ',');) names.push_back(name);
  return names;
}

Expected<std::vector<PeerName>> peers_of(const CertificateOrder& order) {
  const auto gateways = gateway_names(order.gateways);
  if (!gateways) return fail(gateways.error());
  std::vector<PeerName> peers{{Role::kCoordinator, "coordinator"}, {Role::kOperator, "operator"}};
  for (const std::string& name : order.nodes) peers.push_back({Role::kNode, name});
  for (const std::string& name : *gateways) peers.push_back({Role::kGateway, name});
  // Files are called as the process is, since "{name}" in a cluster file stands for that.
  std::vector<std::string> taken{"ca"};
  for (const PeerName& peer : peers) {
    const char* flag = peer.role == Role::kNode ? "--nodes" : "--gateways";
    if (Status status = link::check_name(peer.name); !status.ok())
      return fail(usage_error(std::string(flag) + ": '" + peer.name + "': " + status.message()));
    if (std::ranges::find(taken, peer.name) != taken.end())
      return fail(usage_error(std::string(flag) + ": '" + peer.name + "' is " +
                              (peer.name == "ca" ? "the authority's files' name" : "there twice")));
    taken.push_back(peer.name);
  }
  return peers;
}

bool is_there(const std::string& path) {
  struct stat about {};
  return lstat(path.c_str(), &about) == 0;
}

// Whole, or not there.
Status write_new(const std::string& path, const std::string& text, mode_t mode) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0) return missing(path + ": cannot be made: " + system_error_text(errno));
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t size = write(file, text.data() + written, text.size() - written);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) break;
    written += static_cast<std::size_t>(size);
  }
  const int cause = errno;
  if (close(file) == 0 && written == text.size()) return {};
  unlink(path.c_str());
  return missing(path + ": cannot be written: " + system_error_text(cause));
}

Status write_pair(const std::string& certificate, const std::string& key, const link::CertificatePair& pair) {
  if (Status status = write_new(key, pair.key, 0600); !status.ok()) return status;
  return write_new(certificate, pair.certificate, 0644);
}

Expected<link::CertificatePair> read_authority(const CertificateFolderMade& made) {
  auto key = access::read_secret_file(made.authority_key, kKeyBytesMax);
  if (!key) return fail(key.error());
  std::ifstream file(made.authority);
  std::string certificate{std::istreambuf_iterator<char>(file), {}};
  if (certificate.empty()) return fail(missing(made.authority + ": cannot be read"));
  return link::CertificatePair{std::move(certificate), std::move(*key)};
}

Expected<link::CertificatePair> authority_of(const CertificateOrder& order, CertificateFolderMade& made) {
  if (is_there(made.authority) || is_there(made.authority_key)) return read_authority(made);
  auto pair = link::make_authority(order.cluster, {std::max(kAuthorityDays, order.days)});
  if (!pair) return pair;
  if (Status status = write_pair(made.authority, made.authority_key, *pair); !status.ok()) return fail(std::move(status));
  made.authority_made = true;
  return pair;
}

// Those to be made. A coordinator and an operator that are there stay; any other file that is there is refused.
Status plan_files(const CertificateOrder& order, const std::vector<PeerName>& peers, CertificateFolderMade& made) {
  const std::string begin = order.folder + "/";
  made.authority = begin + "ca.pem";
  made.authority_key = begin + "ca.key";
  for (const PeerName& peer : peers) {
    const CertificateFiles files{peer, begin + peer.name + ".pem", begin + peer.name + ".key"};
    const bool certificate = is_there(files.certificate), key = is_there(files.key);
    if (certificate && key && (peer.role == Role::kCoordinator || peer.role == Role::kOperator)) continue;
    if (certificate || key)
      return usage_error((certificate ? files.certificate : files.key) +
                         " is there already and is not overwritten: move it away, or name others");
    made.certificates.push_back(files);
  }
  return {};
}

}  // namespace

Expected<CertificateFolderMade> make_certificate_folder(const CertificateOrder& order) {
  if (order.days < 1 || order.days > kDaysMax) return fail(usage_error("--days: 1 to 36500"));
  const auto peers = peers_of(order);
  if (!peers) return fail(peers.error());
  CertificateFolderMade made;
  if (Status status = plan_files(order, *peers, made); !status.ok()) return fail(std::move(status));
  std::error_code error;
  if (!fs::is_directory(order.folder, error) && mkdir(order.folder.c_str(), 0700) != 0)
    return fail(missing(order.folder + ": cannot be made: " + system_error_text(errno)));
  const auto authority = authority_of(order, made);
  if (!authority) return fail(authority.error());
  for (const CertificateFiles& files : made.certificates) {
    const auto pair = link::make_certificate(*authority, files.peer, {order.days});
    if (!pair) return fail(Status(pair.error().code(), made.authority + ", " + made.authority_key + ": " + pair.error().message()));
    if (Status status = write_pair(files.certificate, files.key, *pair); !status.ok()) return fail(std::move(status));
  }
  return made;
}

}  // namespace herd::commands
