#include "actors/link/tls_identity-inl.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <ctime>
#include <utility>

namespace herd::link {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

template <class T, void (*free)(T*)>
struct Free {
  void operator()(T* object) const { free(object); }
};
void free_names(GENERAL_NAMES* names) { GENERAL_NAMES_free(names); }

// The one herd: URI among the alternative names of a certificate.
Expected<PeerName> name_of(X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES, free_names>> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* entry = sk_GENERAL_NAME_value(names.get(), i);
    if (entry->type != GEN_URI) continue;
    const auto* text = entry->d.uniformResourceIdentifier;
    const std::string_view uri(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                               static_cast<std::size_t>(ASN1_STRING_length(text)));
    if (uri.starts_with("herd:")) return parse_certificate_uri(uri);
  }
  return fail(bad_input("certificate: it has no herd: URI, which says whose it is (herd certs makes such ones)"));
}

std::int64_t unix_seconds(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<std::int64_t>(timegm(&parts)) : 0;
}

Status check_times(X509* certificate, const std::string& path) {
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) return bad_input("certificate " + path + " has expired");
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
    return bad_input("certificate " + path + " is not valid yet: is the clock right?");
  return {};
}

// What both directions of every connection have in common.
void set_rules(ssl::context& context) {
  SSL_CTX* native = context.native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(native, TLS1_3_VERSION);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_verify_depth(native, 4);
}

}  // namespace

Expected<TlsIdentity::Loaded> TlsIdentity::read(const TlsFiles& files) {
  Loaded loaded;
  loaded.context = std::make_shared<ssl::context>(ssl::context::tls);
  loaded.stamp = stamp_of(files);
  ssl::context& context = *loaded.context;
  set_rules(context);
  error_code error;
  // Nobody sits at a terminal to type a passphrase.
  context.set_password_callback([](std::size_t, ssl::context::password_purpose) { return std::string(); }, error);
  context.use_certificate_chain_file(files.certificate, error);
  if (error) return fail(missing("cannot read the certificate " + files.certificate + ": " + error.message()));
  context.use_private_key_file(files.key, ssl::context::pem, error);
  if (error) return fail(missing("cannot read the key " + files.key + ": " + error.message()));
  if (SSL_CTX_check_private_key(context.native_handle()) != 1)
    return fail(missing("the key " + files.key + " does not belong to " + files.certificate));
  context.load_verify_file(files.authority, error);
  if (error) return fail(missing("cannot read the authority's certificate " + files.authority + ": " + error.message()));
  X509* own = SSL_CTX_get0_certificate(context.native_handle());
  if (Status status = check_times(own, files.certificate); !status.ok()) return fail(std::move(status));
  auto name = name_of(own);
  if (!name) return fail(bad_input(files.certificate + ": " + name.error().message()));
  loaded.name = std::move(*name);
  loaded.expires = unix_seconds(X509_get0_notAfter(own));
  return loaded;
}

std::string TlsIdentity::stamp_of(const TlsFiles& files) {
  std::string stamp;
  for (const std::string* path : {&files.certificate, &files.key, &files.authority}) {
    struct stat about {};
    if (::stat(path->c_str(), &about) != 0) about = {};
    for (const auto number : {static_cast<long>(about.st_ino), static_cast<long>(about.st_size), about.st_mtim.tv_sec,
                              about.st_mtim.tv_nsec})
      stamp += std::to_string(number) + " ";
  }
  return stamp;
}

Expected<std::unique_ptr<TlsIdentity>> TlsIdentity::load(const TlsFiles& files) {
  auto loaded = read(files);
  if (!loaded) return fail(loaded.error());
  std::unique_ptr<TlsIdentity> identity(new TlsIdentity(files));
  identity->name_ = loaded->name;
  identity->loaded_ = std::move(*loaded);
  return identity;
}

Status TlsIdentity::reload() {
  auto loaded = read(files_);
  if (loaded && loaded->name != name_)
    loaded = fail(bad_input("certificate " + files_.certificate + " is now that of " + peer_text(loaded->name) +
                            ", this process is " + peer_text(name_)));
  const std::lock_guard lock(mutex_);
  if (loaded) {
    loaded_ = std::move(*loaded);
    return {};
  }
  loaded_.stamp = stamp_of(files_);  // said once, not at every look
  return {loaded.error().code(), loaded.error().message() + "; the one before is used on"};
}

bool TlsIdentity::files_changed() const {
  const std::string stamp = stamp_of(files_);
  const std::lock_guard lock(mutex_);
  return stamp != loaded_.stamp;
}

std::shared_ptr<ssl::context> TlsIdentity::context() const {
  const std::lock_guard lock(mutex_);
  return loaded_.context;
}

std::int64_t TlsIdentity::expires_unix_seconds() const {
  const std::lock_guard lock(mutex_);
  return loaded_.expires;
}

Expected<PeerName> peer_name_of(SSL* connection) {
  X509* certificate = SSL_get0_peer_certificate(connection);
  if (certificate == nullptr) return fail(bad_input("it has shown no certificate"));
  return name_of(certificate);
}

std::string refused_certificate(SSL* connection) {
  const long result = SSL_get_verify_result(connection);
  return result == X509_V_OK ? std::string() : std::string("its certificate: ") + X509_verify_cert_error_string(result);
}

}  // namespace herd::link
