#include "test_certificate.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace herd::http {

TestCertificate::TestCertificate() {
  std::string pattern = (std::filesystem::temp_directory_path() / "herd_certificate_XXXXXX").string();
  folder = mkdtemp(pattern.data());
  certificate = folder + "/certificate.pem";
  key = folder + "/key.pem";
  EVP_PKEY* pair = EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  X509_set_version(x509, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
  X509_set_pubkey(x509, pair);
  X509_NAME* name = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("127.0.0.1"), -1, -1, 0);
  X509_set_issuer_name(x509, name);
  EXPECT_GT(X509_sign(x509, pair, EVP_sha256()), 0);
  std::FILE* file = std::fopen(certificate.c_str(), "w");
  EXPECT_EQ(PEM_write_X509(file, x509), 1);
  std::fclose(file);
  file = std::fopen(key.c_str(), "w");
  EXPECT_EQ(PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr), 1);
  std::fclose(file);
  X509_free(x509);
  EVP_PKEY_free(pair);
}

TestCertificate::~TestCertificate() { std::filesystem::remove_all(folder); }

}  // namespace herd::http
