#pragma once
// A self-signed certificate for 127.0.0.1, made on the spot.

#include <string>

namespace herd::http {

class TestCertificate {
 public:
  TestCertificate();  // writes two PEM files to a fresh folder under /tmp
  ~TestCertificate();
  TestCertificate(const TestCertificate&) = delete;

  std::string folder;
  std::string certificate;
  std::string key;
};

}  // namespace herd::http
