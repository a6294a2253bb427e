// Connections over loopback: TLS and without, strangers, faults, bounds. Nothing here asserts how long something takes.

#include "actors/link/link_host.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

#include "tests/actors/link/link_ground.h"

namespace herd::link {
namespace {

using handshake::Role;
using wire::FrameKind;

constexpr routing::ReplicaGeneration kReplica{ReplicaId(2), Epoch(7)};

wire::Frame frame_of(FrameKind kind, std::size_t words, std::uint64_t fill = 1) { return {kind, wire::Words(words, fill)}; }

// A leader on node "a" that listens, with certificates of a cluster.
class LinkHostTest : public testing::Test {
 protected:
  // Changes the leader's configuration before it starts.
  void listen(const std::function<void(LinkHostConfig&)>& change = {}, bool tls = true) {
    LinkHostConfig config =
        host_config(Role::kRank, "a", tls ? std::optional(folder_.make("a", {Role::kNode, "a"})) : std::nullopt, leader_);
    if (change) change(config);
    leader_host_ = LinkHost::start(std::move(config)).value();
    port_ = leader_host_->listen("127.0.0.1", 0, kGateways, leader_.opener()).value();
  }
  void dial(const TlsFiles& files, const std::string& name = "g", const std::function<void(LinkHostConfig&)>& change = {}) {
    LinkHostConfig config = host_config(Role::kGateway, name, files, gateway_);
    if (change) change(config);
    auto host = LinkHost::start(std::move(config));
    ASSERT_TRUE(host.has_value()) << host.error().message();
    gateway_host_ = std::move(*host);
    dial_ = gateway_host_->dial("127.0.0.1", port_, kRanks, gateway_.opener());
  }
  void dial() { dial(folder_.make("g", {Role::kGateway, "g"})); }

  // A stranger's TCP connection.
  int raw() const {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static void say(int fd, const std::string& bytes) { (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

  CertificateFolder folder_;
  Record leader_, gateway_;
  std::unique_ptr<LinkHost> leader_host_, gateway_host_;
  std::unique_ptr<Dial> dial_;
  std::uint16_t port_ = 0;
};

TEST_F(LinkHostTest, FramesGoBothWaysOverTls) {
  listen();
  dial();
  ASSERT_TRUE(gateway_.opened() && leader_.opened()) << gateway_.lines() << leader_.lines();
  const wire::Frame prompt = frame_of(FrameKind::kSubmission, 500'000, 3), token = frame_of(FrameKind::kTokenDeltas, 30, 4);
  ASSERT_TRUE(gateway_.link()->send(prompt, Epoch(5), kReplica).ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(leader_.link()->send(token, Epoch(5), kReplica).ok());
  ASSERT_TRUE(leader_.frames(1) && gateway_.frames(100));
  EXPECT_EQ(leader_.frame(0).frame, prompt);
  EXPECT_EQ(gateway_.frame(99).frame, token);
  EXPECT_EQ(gateway_.frame(99).header.replica, kReplica);
}

// A process dials for as long as it lives: whoever is dialled no longer takes no memory. (Where a sanitizer has the heap this sees
// nothing.)
TEST_F(LinkHostTest, DialersThatAreGoneTakeNoMemory) {
  listen({}, false);
  LinkHostConfig config = host_config(Role::kGateway, "g", std::nullopt, gateway_);
  config.on_trouble = {};
  gateway_host_ = LinkHost::start(std::move(config)).value();
  // The last one opens, so that the host has come by all others before.
  const auto dial_and_drop = [this](int dials, std::size_t opens) {
    for (int i = 0; i < dials; ++i) {
      const auto dropped = gateway_host_->dial("127.0.0.1", 1, kRanks, gateway_.opener());
    }
    dial_ = gateway_host_->dial("127.0.0.1", port_, kRanks, gateway_.opener());
    EXPECT_TRUE(gateway_.opened(opens)) << gateway_.lines();
  };
  dial_and_drop(500, 1);
  const std::size_t before = mallinfo2().uordblks;
  constexpr int kDials = 5000;
  dial_and_drop(kDials, 2);
  dial_and_drop(1, 3);  // a dial forgets those that were gone before it
  const std::size_t after = mallinfo2().uordblks;
  EXPECT_LT(after, before + std::size_t{kDials} * 100) << "a dialer alone has more bytes than that";
}

TEST_F(LinkHostTest, WithoutTlsOnlyLoopbackIsSpoken) {
  listen({}, false);
  const auto refused = leader_host_->listen("0.0.0.0", 0, kGateways, leader_.opener());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), StatusCode::kUsage);
  gateway_host_ = LinkHost::start(host_config(Role::kGateway, "g", std::nullopt, gateway_)).value();
  dial_ = gateway_host_->dial("127.0.0.1", port_, kRanks, gateway_.opener());
  EXPECT_TRUE(gateway_.opened() && leader_.opened());
  const auto far = gateway_host_->dial("192.0.2.1", 1, kRanks, gateway_.opener());
  EXPECT_TRUE(gateway_.told("without TLS only loopback addresses are connected to, not 192.0.2.1"));
}

TEST_F(LinkHostTest, ASocketPairNeedsNoTls) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  listen();
  gateway_host_ = LinkHost::start(host_config(Role::kGateway, "g", std::nullopt, gateway_)).value();
  ASSERT_TRUE(leader_host_->adopt(ends[0], kGateways, leader_.opener()).ok());
  ASSERT_TRUE(gateway_host_->adopt(ends[1], kRanks, gateway_.opener()).ok());
  ASSERT_TRUE(gateway_.opened() && leader_.opened());
  ASSERT_TRUE(gateway_.link()->send(frame_of(FrameKind::kSubmission, 100'000), Epoch(5), kReplica).ok());
  EXPECT_TRUE(leader_.frames(1));
  EXPECT_EQ(leader_host_->adopt(raw(), kGateways, leader_.opener()).code(), StatusCode::kUsage);
}

struct StrangerRow {
  const char* name;
  std::string bytes;
  const char* cause;
};
class Stranger : public LinkHostTest, public testing::WithParamInterface<StrangerRow> {};
INSTANTIATE_TEST_SUITE_P(
    BeforeTls, Stranger,
    testing::Values(StrangerRow{"http", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "TLS: http request"},
                    StrangerRow{"garbage", std::string(4096, '\x7f'), "TLS: "},
                    StrangerRow{"zeros", std::string(64, '\0'), "TLS: "},
                    StrangerRow{"tls_1_0", std::string("\x15\x03\x01\x00\x02\x02\x28", 7), "TLS: "}),
    [](const auto& row) { return std::string(row.param.name); });
// One line names the address and the cause; the others of the cluster do not notice.
TEST_P(Stranger, IsCutOffAndNamed) {
  listen();
  const int fd = raw();
  say(fd, GetParam().bytes);
  EXPECT_TRUE(leader_.told(GetParam().cause)) << leader_.lines();
  EXPECT_TRUE(leader_.told("somebody at 127.0.0.1:"));
  close(fd);
  EXPECT_EQ(leader_host_->stats().refused, 1U);
  dial();
  EXPECT_TRUE(gateway_.opened());
}

TEST_F(LinkHostTest, WhoSaysNothingIsCutOff) {
  listen([](LinkHostConfig& config) { config.limits.hello_s = 0.2; });
  const int fd = raw();
  EXPECT_TRUE(leader_.told("no hello within 0.2 s"));
  char byte;
  EXPECT_LE(recv(fd, &byte, 1, 0), 0);
  close(fd);
}

TEST_F(LinkHostTest, HalfOpenConnectionsAreBounded) {
  listen([](LinkHostConfig& config) { config.half_open_max = 4; });
  std::vector<int> strangers;
  for (int i = 0; i < 12; ++i) strangers.push_back(raw());
  const auto& host = *leader_host_;
  for (int i = 0; i < 3000 && host.stats().accepted < 12; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(host.stats().turned_away, 8U);
  EXPECT_EQ(host.stats().half_open, 4U);
  for (const int fd : strangers) close(fd);
  dial();  // as soon as they are gone
  EXPECT_TRUE(gateway_.opened());
}

struct CertificateRow {
  const char* name;
  TlsFiles (*make)(const CertificateFolder&);
  const char* heard_there;
};
class RefusedCertificate : public LinkHostTest, public testing::WithParamInterface<CertificateRow> {};
INSTANTIATE_TEST_SUITE_P(
    OfAGateway, RefusedCertificate,
    testing::Values(
        CertificateRow{"other_authority",
                       [](const CertificateFolder& folder) {
                         const auto other = make_authority("test", {}).value();
                         return folder.put("g", make_certificate(other, {Role::kGateway, "g"}, {}).value());
                       },
                       "its certificate: unable to get local issuer certificate"},
        CertificateRow{"signed_by_a_node",
                       [](const CertificateFolder& folder) {
                         const auto node = make_certificate(folder.authority(), {Role::kNode, "evil"}, {}).value();
                         auto pair = make_certificate(node, {Role::kGateway, "g"}, {}).value();
                         pair.certificate += node.certificate;
                         return folder.put("g", pair);
                       },
                       "its certificate: invalid CA certificate"}),
    [](const auto& row) { return std::string(row.param.name); });
TEST_P(RefusedCertificate, NeverOpens) {
  listen();
  dial(GetParam().make(folder_));
  EXPECT_TRUE(leader_.told(GetParam().heard_there)) << leader_.lines();
  EXPECT_TRUE(gateway_.told("127.0.0.1:" + std::to_string(port_)));
  EXPECT_EQ(leader_host_->stats().opened, 0U);
}

// The process itself says so when it starts; one that runs on past the end is refused by the others.
TEST_F(LinkHostTest, AnExpiredCertificateIsRefusedOnBothSides) {
  const TlsFiles expired = folder_.make("old", {Role::kGateway, "g"}, {.days = -1});
  const auto own = LinkHost::start(host_config(Role::kGateway, "g", expired, gateway_));
  ASSERT_FALSE(own.has_value());
  EXPECT_NE(own.error().message().find("old.pem has expired"), std::string::npos) << own.error().message();
  listen();
  const std::string command = "openssl s_client -tls1_3 -connect 127.0.0.1:" + std::to_string(port_) + " -cert " + expired.certificate +
                              " -key " + expired.key + " -CAfile " + expired.authority + " </dev/null >/dev/null 2>&1";
  (void)!std::system(command.c_str());
  EXPECT_TRUE(leader_.told("its certificate: certificate has expired")) << leader_.lines();
}

TEST_F(LinkHostTest, TlsBefore13AndNoCertificateAreRefused) {
  listen();
  const std::string to = "openssl s_client -connect 127.0.0.1:" + std::to_string(port_);
  (void)!std::system((to + " -tls1_2 </dev/null >/dev/null 2>&1").c_str());
  EXPECT_TRUE(leader_.told("TLS: unsupported protocol")) << leader_.lines();
  (void)!std::system((to + " -tls1_3 </dev/null >/dev/null 2>&1").c_str());
  EXPECT_TRUE(leader_.told("TLS: peer did not return a certificate")) << leader_.lines();
}

// Whoever holds a good certificate may still speak nonsense.
TEST_F(LinkHostTest, GarbageAfterTlsIsCutOffByTheNameOfItsCertificate) {
  listen();
  const TlsFiles files = folder_.make("g", {Role::kGateway, "g"});
  const std::string command = "(printf 'GET / HTTP/1.1\\r\\n\\r\\n'; sleep 5) | openssl s_client -quiet -tls1_3 -connect 127.0.0.1:" +
                              std::to_string(port_) + " -cert " + files.certificate + " -key " + files.key + " -CAfile " +
                              files.authority + " >/dev/null 2>&1 & exec true";
  (void)!std::system(command.c_str());
  EXPECT_TRUE(leader_.told("gateway \"g\" at 127.0.0.1:")) << leader_.lines();
  EXPECT_TRUE(leader_.told("what it sent is no fragment of a herd connection"));
}

struct NameRow {
  const char* name;
  void (*change)(LinkHostConfig&);
  const char* cause;
};
class RefusedName : public LinkHostTest, public testing::WithParamInterface<NameRow> {};
INSTANTIATE_TEST_SUITE_P(
    OfAGateway, RefusedName,
    testing::Values(NameRow{"cluster", [](LinkHostConfig& c) { c.mine.cluster = "other"; }, "it belongs to cluster \"other\", this process to \"test\""},
                    NameRow{"version", [](LinkHostConfig& c) { c.mine.protocol_min = c.mine.protocol_max = 8; }, "it speaks protocol versions 8 to 8"}),
    [](const auto& row) { return std::string(row.param.name); });
TEST_P(RefusedName, IsToldToBoth) {
  listen();
  dial(folder_.make("g", {Role::kGateway, "g"}), "g", GetParam().change);
  EXPECT_TRUE(leader_.told(GetParam().cause)) << leader_.lines();
  EXPECT_TRUE(gateway_.told("rank \"a\"") || gateway_.told("node \"a\"")) << gateway_.lines();
  EXPECT_EQ(leader_host_->stats().opened, 0U);
}

TEST_F(LinkHostTest, AProcessMustBeWhomItsCertificateNames) {
  const auto host = LinkHost::start(host_config(Role::kGateway, "h", folder_.make("g", {Role::kGateway, "g"}), gateway_));
  ASSERT_FALSE(host.has_value());
  EXPECT_NE(host.error().message().find("it calls itself gateway \"h\", its certificate is that of gateway \"g\""), std::string::npos);
}

// A node's certificate is no gateway's, whatever its holder says: it never has the other's role.
TEST_F(LinkHostTest, ARoleThatIsNotExpectedIsRefused) {
  listen();
  LinkHostConfig config = host_config(Role::kNode, "b", folder_.make("b", {Role::kNode, "b"}), gateway_);
  gateway_host_ = LinkHost::start(std::move(config)).value();
  dial_ = gateway_host_->dial("127.0.0.1", port_, kRanks, gateway_.opener());
  EXPECT_TRUE(leader_.told("node \"b\" at 127.0.0.1:")) << leader_.lines();
  EXPECT_TRUE(leader_.told("this process expects gateway here"));
}

TEST_F(LinkHostTest, ASilentPeerIsCutOffHard) {
  // One end pings every ten seconds only, so that the other takes it for dead.
  listen([](LinkHostConfig& config) { config.limits.silence_min_s = config.limits.silence_max_s = 0.5; });
  dial(folder_.make("g", {Role::kGateway, "g"}), "g", [](LinkHostConfig& config) { config.limits.ping_s = 10; });
  ASSERT_TRUE(leader_.opened());
  EXPECT_TRUE(leader_.told("gateway \"g\" at 127.0.0.1:")) << leader_.lines();
  EXPECT_TRUE(leader_.told("silent for 0."));
  EXPECT_EQ(leader_.hung(), 1U);
  EXPECT_TRUE(gateway_.told("the connection is lost: Connection reset by peer")) << gateway_.lines();
  EXPECT_EQ(gateway_.hung(), 0U);
}

TEST_F(LinkHostTest, APeerThatDoesNotReadCostsBoundedMemory) {
  listen([](LinkHostConfig& config) { config.limits.queued_bytes_max = 8 << 20; });
  gateway_.consume = false;
  dial(folder_.make("g", {Role::kGateway, "g"}), "g", [](LinkHostConfig& config) { config.limits.unconsumed_bytes_max = 1 << 20; });
  ASSERT_TRUE(gateway_.opened() && leader_.opened());
  const auto link = leader_.link();
  const wire::Frame frame = frame_of(FrameKind::kTokenDeltas, 1U << 14);
  std::size_t queued = 0;
  for (int i = 0; i < 4096 && link->send(frame, Epoch(5), kReplica).ok(); ++i) queued = std::max(queued, link->queued_bytes());
  EXPECT_LE(queued, std::size_t{8} << 20);
  EXPECT_TRUE(leader_.closed());
  EXPECT_TRUE(leader_.told("read")) << leader_.lines();
}

TEST_F(LinkHostTest, WhoIsCutOffConnectsAgain) {
  listen();
  dial();
  ASSERT_TRUE(gateway_.opened() && leader_.opened());
  leader_.link()->finish({StatusCode::kAborted, "come back"});
  ASSERT_TRUE(gateway_.closed());
  EXPECT_TRUE(gateway_.told("rank \"a\" at 127.0.0.1:" + std::to_string(port_) + ": it closed the connection: come back"));
  EXPECT_TRUE(gateway_.opened(2) && leader_.opened(2));
  dial_.reset();
  EXPECT_TRUE(gateway_.closed(2));
  EXPECT_TRUE(leader_.told("the connection is lost"));
}

TEST_F(LinkHostTest, ADialTriesUntilSomebodyListens) {
  listen();
  const std::uint16_t port = port_;
  leader_host_.reset();
  dial();
  EXPECT_TRUE(gateway_.told("cannot connect: Connection refused"));
  leader_host_ = LinkHost::start(host_config(Role::kRank, "a", folder_.make("a", {Role::kNode, "a"}), leader_)).value();
  ASSERT_TRUE(leader_host_->listen("127.0.0.1", port, kGateways, leader_.opener()).has_value());
  EXPECT_TRUE(gateway_.opened());
}

// New certificates, of a new authority too: what is open stays open, and new connections use them.
TEST_F(LinkHostTest, CertificatesRotateWithoutARestart) {
  listen([](LinkHostConfig& config) { config.look_at_files_s = 0.05; });
  dial();
  ASSERT_TRUE(gateway_.opened() && leader_.opened());
  const auto expires = leader_host_->certificate_expires_unix_seconds();
  write_text(folder_.path() + "/a.pem", "half a file");
  EXPECT_TRUE(leader_.told("cannot read the certificate")) << leader_.lines();
  EXPECT_TRUE(leader_.told("the one before is used on"));
  EXPECT_EQ(leader_host_->certificate_expires_unix_seconds(), expires);
  folder_.make("a", {Role::kNode, "a"}, {.days = 10});
  for (int i = 0; i < 3000 && leader_host_->certificate_expires_unix_seconds() == expires; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_LT(leader_host_->certificate_expires_unix_seconds(), expires);
  ASSERT_TRUE(gateway_.link()->send(frame_of(FrameKind::kSubmission, 9), Epoch(5), kReplica).ok());
  EXPECT_TRUE(leader_.frames(1)) << "the open connection goes on";
  leader_.link()->finish({});
  EXPECT_TRUE(gateway_.opened(2)) << "a new one opens";
  folder_.make("a", {Role::kNode, "b"});
  const Status renamed = leader_host_->reload();
  EXPECT_NE(renamed.message().find("is now that of node \"b\", this process is node \"a\""), std::string::npos) << renamed.message();
}

TEST_F(LinkHostTest, StopClosesAllAndLinksAndDialsOutliveTheirHost) {
  listen();
  dial();
  ASSERT_TRUE(gateway_.opened() && leader_.opened());
  const auto link = leader_.link();
  leader_host_->stop();
  EXPECT_TRUE(leader_.told("this process stops"));
  leader_host_.reset();
  EXPECT_EQ(link->send(frame_of(FrameKind::kTokenDeltas, 9), Epoch(5), kReplica).code(), StatusCode::kAborted);
  link->finish({});
  gateway_host_->stop();
  gateway_host_.reset();
  dial_.reset();  // as does a dial
}

}  // namespace
}  // namespace herd::link
