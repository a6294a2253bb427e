#include "actors/link/certificate_maker.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>

namespace herd::link {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(BIGNUM* number) const { BN_free(number); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;
using Bio = std::unique_ptr<BIO, Free>;

constexpr long kBackSeconds = 300;
constexpr long kDaySeconds = 86400;
constexpr int kSerialBits = 127;

tl::unexpected<Status> refused(const char* what) { return fail({StatusCode::kInternal, std::string("OpenSSL: ") + what}); }

bool set_serial(X509* certificate) {
  const std::unique_ptr<BIGNUM, Free> number(BN_new());
  return number && BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_name(X509_NAME* name, const std::string& text) {
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free> extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// All but names, extensions and the signature.
Certificate new_certificate(EVP_PKEY* key, Validity validity) {
  Certificate certificate(X509_new());
  const long end = static_cast<long>(validity.days) * kDaySeconds;
  const bool made = certificate && X509_set_version(certificate.get(), X509_VERSION_3) == 1 && set_serial(certificate.get()) &&
                    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), std::min(end, 0L) - kBackSeconds) != nullptr &&
                    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), end) != nullptr &&
                    X509_set_pubkey(certificate.get(), key) == 1;
  return made ? std::move(certificate) : nullptr;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

Expected<CertificatePair> pem_of(X509* certificate, EVP_PKEY* key) {
  const Bio first(BIO_new(BIO_s_mem())), second(BIO_new(BIO_s_mem()));
  if (!first || !second || PEM_write_bio_X509(first.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(second.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return refused("cannot write PEM");
  return CertificatePair{text_of(first.get()), text_of(second.get())};
}

// Nobody sits at a terminal to type a passphrase.
int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

Expected<CertificatePair> make_authority(const std::string& cluster, Validity validity) {
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return refused("cannot make a key");
  const Certificate certificate = new_certificate(key.get(), validity);
  X509* own = certificate.get();
  if (!own || !set_name(X509_get_subject_name(own), "herd cluster " + cluster) ||
      X509_set_issuer_name(own, X509_get_subject_name(own)) != 1 ||
      !add_extension(own, own, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(own, own, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(own, own, NID_subject_key_identifier, "hash") || X509_sign(own, key.get(), EVP_sha256()) == 0)
    return refused("cannot make the authority's certificate");
  return pem_of(own, key.get());
}

Expected<CertificatePair> make_certificate(const CertificatePair& authority, const PeerName& peer, Validity validity) {
  const Bio text(BIO_new_mem_buf(authority.certificate.data(), static_cast<int>(authority.certificate.size())));
  const Bio secret(BIO_new_mem_buf(authority.key.data(), static_cast<int>(authority.key.size())));
  const Certificate issuer(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
  const Key issuer_key(PEM_read_bio_PrivateKey(secret.get(), nullptr, no_passphrase, nullptr));
  if (!issuer || !issuer_key || X509_check_private_key(issuer.get(), issuer_key.get()) != 1)
    return fail(bad_input("the authority's certificate and key are not a pair in PEM"));
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return refused("cannot make a key");
  const Certificate certificate = new_certificate(key.get(), validity);
  X509* own = certificate.get();
  if (!own || !set_name(X509_get_subject_name(own), peer_text(peer)) ||
      X509_set_issuer_name(own, X509_get_subject_name(issuer.get())) != 1 ||
      !add_extension(own, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(own, issuer.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(own, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth") ||
      !add_extension(own, issuer.get(), NID_subject_alt_name, "URI:" + certificate_uri(peer)) ||
      !add_extension(own, issuer.get(), NID_subject_key_identifier, "hash") ||
      !add_extension(own, issuer.get(), NID_authority_key_identifier, "keyid") ||
      X509_sign(own, issuer_key.get(), EVP_sha256()) == 0)
    return refused("cannot make a certificate");
  return pem_of(own, key.get());
}

}  // namespace herd::link
