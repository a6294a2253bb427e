#include "endpoint/http/tls_context-inl.h"

#include <openssl/ssl.h>

#include <string>

#include "endpoint/http/http_server.h"

namespace herd::http {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

// A client that names protocols must name ours; one that names none speaks it anyway.
int select_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                    unsigned int in_size, void*) {
  static constexpr unsigned char kOurs[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* selected = nullptr;
  const int found = SSL_select_next_proto(&selected, out_size, kOurs, sizeof kOurs, in, in_size);
  *out = selected;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

Expected<ssl::context> make_tls_context(const std::string& certificate, const std::string& key) {
  ssl::context context(ssl::context::tls_server);
  SSL_CTX* native = context.native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Idle connections give their record buffers back.
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(native, select_protocol, nullptr);
  error_code error;
  // Nobody sits at a terminal to type a passphrase.
  context.set_password_callback([](std::size_t, ssl::context::password_purpose) { return std::string(); }, error);
  context.use_certificate_chain_file(certificate, error);
  if (error) {
    return fail(missing("cannot read the TLS certificate " + certificate + ": " + error.message()));
  }
  context.use_private_key_file(key, ssl::context::pem, error);
  if (error) return fail(missing("cannot read the TLS key " + key + ": " + error.message()));
  if (SSL_CTX_check_private_key(native) != 1) {
    return fail(missing("the TLS key " + key + " does not belong to " + certificate));
  }
  return context;
}

Status HttpServer::check_certificate(const std::string& certificate, const std::string& key) {
  const auto context = make_tls_context(certificate, key);
  return context ? Status{} : context.error();
}

}  // namespace herd::http
