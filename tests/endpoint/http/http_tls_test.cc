// The same server over TLS.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "endpoint/http/http_server.h"
#include "raw_client.h"
#include "scripted_handler.h"
#include "test_certificate.h"

namespace herd::http {
namespace {

// A RawClient has the socket; this is only the layer above it.
class TlsClient {
 public:
  explicit TlsClient(std::uint16_t port, const std::string& protocols = "", int version_max = 0)
      : client_(port), context_(SSL_CTX_new(TLS_client_method())) {
    if (version_max) {
      SSL_CTX_set_security_level(context_, 0);  // the client would talk TLS 1.1
      SSL_CTX_set_max_proto_version(context_, version_max);
    }
    ssl_ = SSL_new(context_);
    if (!protocols.empty()) {
      SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(protocols.data()),
                          static_cast<unsigned>(protocols.size()));
    }
    SSL_set_fd(ssl_, client_.descriptor());
    connected = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;

  void send(const std::string& bytes) {
    EXPECT_EQ(SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())), static_cast<int>(bytes.size()));
  }
  // Up to and with `end`, or to the end of the connection.
  std::string read_until(const std::string& end) {
    std::string text;
    char bytes[16 * 1024];
    while (end.empty() || text.find(end) == std::string::npos) {
      const int size = SSL_read(ssl_, bytes, sizeof bytes);
      if (size <= 0) {
        ended_orderly = SSL_get_error(ssl_, size) == SSL_ERROR_ZERO_RETURN;
        break;
      }
      text.append(bytes, static_cast<std::size_t>(size));
    }
    return text;
  }
  std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  // What the server showed, as bytes.
  std::string certificate() const {
    X509* shown = SSL_get1_peer_certificate(ssl_);
    if (shown == nullptr) return "none";
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(shown, &bytes);
    std::string der(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(std::max(size, 0)));
    OPENSSL_free(bytes);
    X509_free(shown);
    return der;
  }
  std::string version() const { return SSL_get_version(ssl_); }
  void close() { client_.close(); }

  bool connected = false;
  bool ended_orderly = false;

 private:
  RawClient client_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
};

class HttpTls : public testing::Test {
 protected:
  void start(HttpLimits limits = {}) {
    HttpServerConfig config;
    config.port = 0;
    config.tls_certificate = certificate_.certificate;
    config.tls_key = certificate_.key;
    config.limits = limits;
    auto server = HttpServer::start(config, handler_);
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
  }

  TestCertificate certificate_;
  ScriptedHandler handler_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpTls, AnswersAndKeepsTheConnection) {
  start();
  TlsClient client(server_->port(), "\x02h2\x08http/1.1");
  ASSERT_TRUE(client.connected);
  EXPECT_EQ(client.protocol(), "http/1.1");
  EXPECT_EQ(client.version(), "TLSv1.3");
  for (int i = 0; i < 3; ++i) {
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    EXPECT_TRUE(client.read_until("POST /a hello").starts_with("HTTP/1.1 200 OK\r\n"));
  }
  client.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.read_until("").ends_with("GET /a "));
  EXPECT_TRUE(client.ended_orderly);  // nobody can cut an answer short unnoticed
}

TEST_F(HttpTls, AProbeIsAnsweredBeyondTheLimit) {
  HttpLimits limits;
  limits.connections = 1;
  start(limits);
  TlsClient holds_the_place(server_->port());
  ASSERT_TRUE(holds_the_place.connected);
  TlsClient probe(server_->port());
  ASSERT_TRUE(probe.connected);
  probe.send("GET /probe HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(probe.read_until("").starts_with("HTTP/1.1 200 OK\r\n"));
  TlsClient other(server_->port());
  ASSERT_TRUE(other.connected);
  other.send(kGet);
  EXPECT_TRUE(other.read_until("").starts_with("HTTP/1.1 503 "));
}

TEST_F(HttpTls, SpeaksTls12ButNothingOlder) {
  start();
  TlsClient newer(server_->port(), "", TLS1_2_VERSION);
  EXPECT_TRUE(newer.connected);
  EXPECT_EQ(newer.version(), "TLSv1.2");
  TlsClient older(server_->port(), "", TLS1_1_VERSION);
  EXPECT_FALSE(older.connected);
}

TEST_F(HttpTls, RefusesClientsThatOnlySpeakHttp2) {
  start();
  TlsClient client(server_->port(), "\x02h2");
  EXPECT_FALSE(client.connected);
}

TEST_F(HttpTls, StreamsFramesAndLargeBodies) {
  std::vector<std::thread> threads;
  handler_.answer = [&](HttpRequest request, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    if (request.head.path == "/large") return responder->respond({200, "", {}, std::string(5'000'000, 'x') + "end"});
    threads.emplace_back([responder] {
      responder->open_stream({});
      for (int i = 0; i < 500; ++i) EXPECT_TRUE(responder->send("frame " + std::to_string(i)));
      responder->finish_stream();
    });
  };
  start();
  TlsClient client(server_->port());
  ASSERT_TRUE(client.connected);
  client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string stream = client.read_until("\r\n0\r\n\r\n");
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    const std::string frame = "frame " + std::to_string(i);
    expected += std::string(1, "0123456789"[frame.size()]) + "\r\n" + frame + "\r\n";
  }
  EXPECT_TRUE(stream.ends_with(expected + "0\r\n\r\n"));
  client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_GT(client.read_until("end").size(), 5'000'000U);
  for (std::thread& thread : threads) thread.join();
}

TEST_F(HttpTls, LongFramesThatWereAskedForGoOutWhole) {
  std::vector<std::thread> threads;
  handler_.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>&) {
    threads.emplace_back([responder] {
      responder->open_stream({});
      for (int i = 0; i < 4; ++i) EXPECT_TRUE(responder->send_asked(std::string(1'000'000, 'x')));
      for (int i = 0; i < 500; ++i) EXPECT_TRUE(responder->send(std::string(1000, 'y')));
      responder->finish_stream();
    });
  };
  start();
  TlsClient client(server_->port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_GT(client.read_until("\r\n0\r\n\r\n").size(), 4'500'000U);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server_->stats().streams_cut, 0U);
}

TEST_F(HttpTls, ASlowReaderIsCut) {
  Event came, gone;
  std::shared_ptr<HttpResponder> kept;
  handler_.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    responder->open_stream({});
    kept = std::move(responder);
    on_gone = [&] { gone.set(); };
    came.set();
  };
  start();
  TlsClient client(server_->port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(came.wait());
  bool cut = false;
  for (int sent = 0; sent < 1'000'000 && !cut; ++sent) cut = !kept->send(std::string(1000, 'x'));
  EXPECT_TRUE(cut);
  ASSERT_TRUE(gone.wait());
  EXPECT_EQ(server_->stats().streams_cut, 1U);
}

TEST_F(HttpTls, NoticesAClientThatLeaves) {
  Event came, gone;
  std::shared_ptr<HttpResponder> kept;
  handler_.answer = [&](HttpRequest, std::shared_ptr<HttpResponder> responder, std::function<void()>& on_gone) {
    responder->open_stream({});
    kept = std::move(responder);
    on_gone = [&] { gone.set(); };
    came.set();
  };
  start();
  TlsClient client(server_->port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(came.wait());
  client.close();
  ASSERT_TRUE(gone.wait());
  EXPECT_FALSE(kept->send("late"));
}

TEST_F(HttpTls, AHandshakeThatDoesNotComeIsClosed) {
  HttpLimits limits;
  limits.head_time = std::chrono::milliseconds(50);
  start(limits);
  RawClient silent(server_->port());
  EXPECT_EQ(silent.read_to_end(), "");
  RawClient plain(server_->port());
  plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(plain.read_to_end().find("HTTP"), std::string::npos);
  EXPECT_EQ(handler_.requests, 0);
}

TEST_F(HttpTls, ACertificateThatIsReadAgainIsForWhoComesThen) {
  start();
  TlsClient before(server_->port());
  const TestCertificate other;
  const auto replace = [&](const std::string& certificate, const std::string& key) {
    std::filesystem::copy_file(certificate, certificate_.certificate, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::copy_file(key, certificate_.key, std::filesystem::copy_options::overwrite_existing);
  };
  const std::string own_key = other.folder + "/old_key.pem";
  std::filesystem::copy_file(certificate_.key, own_key);
  replace(other.certificate, other.key);
  EXPECT_EQ(TlsClient(server_->port()).certificate(), before.certificate()) << "files alone change nothing";

  ASSERT_TRUE(server_->reload_certificate().ok());
  TlsClient after(server_->port());
  ASSERT_TRUE(after.connected);
  EXPECT_NE(after.certificate(), before.certificate());
  for (TlsClient* client : {&before, &after}) {
    client->send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(client->read_until("GET /a ").starts_with("HTTP/1.1 200 OK\r\n"));
  }

  replace(other.certificate, own_key);  // which is not that certificate's
  EXPECT_EQ(HttpServer::check_certificate(certificate_.certificate, certificate_.key).code(), StatusCode::kMissing);
  EXPECT_EQ(server_->reload_certificate().code(), StatusCode::kMissing);
  EXPECT_EQ(TlsClient(server_->port()).certificate(), after.certificate());
}

TEST_F(HttpTls, AKeyOfAnotherCertificateIsRefused) {
  const TestCertificate other;
  HttpServerConfig config;
  config.port = 0;
  config.tls_certificate = certificate_.certificate;
  config.tls_key = other.key;
  const auto server = HttpServer::start(config, handler_);
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code(), StatusCode::kMissing);
  config.tls_key = certificate_.certificate;
  EXPECT_EQ(HttpServer::start(config, handler_).error().code(), StatusCode::kMissing);
}

}  // namespace
}  // namespace herd::http
