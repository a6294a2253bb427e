#pragma once
// The folder that `herd certs` fills: an authority, and a certificate with its key for each process of a cluster. Nothing that is
// there is ever overwritten; an authority that is there signs more.

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/link/peer_name.h"
#include "kernels/status.h"

namespace herd::commands {

struct CertificateOrder {
  std::string folder;  // made when missing, with mode 0700
  std::string cluster = "herd";
  std::vector<std::string> nodes;
  std::string gateways = "1";  // a number, or names
  std::int64_t days = 825;
};

// Paths of files.
struct CertificateFiles {
  link::PeerName peer;
  std::string certificate;  // mode 0644
  std::string key;          // mode 0600
};
struct CertificateFolderMade {
  std::string authority;
  std::string authority_key;
  bool authority_made = false;  // false: it was there
  std::vector<CertificateFiles> certificates;
};

// kUsage: a name that is none, or twice; a file that is there already (nothing is written then). kMissing: a file cannot be read
// or written; kBadInput: the authority's files are no pair, or others may read its key.
[[nodiscard]] Expected<CertificateFolderMade> make_certificate_folder(const CertificateOrder& order);

}  // namespace herd::commands
