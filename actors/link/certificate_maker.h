#pragma once
// Makes the certificates of a cluster: an authority, and certificates that it signs whose URI says whose they are
// (cluster/link/peer_name.h). ECDSA over P-256. OpenSSL stays behind it.

#include <cstdint>
#include <memory>
#include <string>

#include "cluster/link/peer_name.h"
#include "kernels/status.h"

namespace herd::link {

// PEM texts. The key is a secret.
struct CertificatePair {
  std::string certificate;
  std::string key;
};

// From now - 5 minutes (clocks differ) on; negative days: it has expired.
struct Validity {
  std::int64_t days = 3650;
};

// kInternal: OpenSSL refuses.
[[nodiscard]] Expected<CertificatePair> make_authority(const std::string& cluster, Validity validity);
// `authority`: what make_authority made; kBadInput: it is not PEM, or the key is another one's.
[[nodiscard]] Expected<CertificatePair> make_certificate(const CertificatePair& authority, const PeerName& peer, Validity validity);

}  // namespace herd::link
