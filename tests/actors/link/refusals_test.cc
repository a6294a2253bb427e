// Strangers, members with the wrong certificate and members that speak nonsense, over real sockets: each is refused with one line
// that names it and the cause, and is counted, while eight streams of frames on other connections of the same host stay whole.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <ostream>
#include <thread>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/link_codec.h"
#include "kernels/crc32c.h"
#include "tests/actors/link/link_ground.h"
#include "tests/actors/link/raw_peer.h"
#include "tests/actors/link/streams_beside.h"
#include "tests/cluster/link/link_pair.h"

namespace herd::link {
namespace {

using handshake::Hello;
using handshake::Role;
using wire::FrameKind;
using Bytes = std::vector<std::byte>;

// Lines of trouble and of ends. Any thread.
class Log {
 public:
  void add(const Status& status) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(status.message());
    changed_.notify_all();
  }
  [[nodiscard]] std::size_t size() {
    const std::lock_guard lock(mutex_);
    return lines_.size();
  }
  // Those that name that address, once there is one; the first `before` are not looked at: ports come again.
  std::vector<std::string> of(const std::string& address, std::size_t before) {
    std::vector<std::string> found;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kLong, [&] {
      found.clear();
      std::ranges::copy_if(lines_.begin() + static_cast<std::ptrdiff_t>(before), lines_.end(), std::back_inserter(found),
                           [&](const std::string& line) { return line.find(address + ": ") != std::string::npos; });
      return !found.empty();
    });
    return found;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

// Decodes what it is sent, as the owners of connections do, and ends a connection whose payload is refused.
class Reader final : public LinkOwner {
 public:
  Reader(Log& log, std::shared_ptr<Link> link) : log_(log), link_(std::move(link)) {}
  void on_frame(wire::OpenedFrame frame) override {
    link_->consumed(frame.frame.words.size() * 8);
    Status status;
    if (frame.header.kind == FrameKind::kSubmission) status = refusal(wire::decode_submission(frame.frame.words));
    if (frame.header.kind == FrameKind::kAbort) status = refusal(wire::decode_abort(frame.frame.words));
    if (frame.header.kind == FrameKind::kGatewayJoin) status = refusal(wire::decode_gateway_join(frame.frame.words));
    if (!status.ok()) link_->finish(status);
  }
  void on_closed(const Status& why) override {
    log_.add(why);
    link_.reset();
  }

 private:
  template <class Value>
  static Status refusal(const Expected<Value>& value) {
    return value ? Status() : value.error();
  }
  Log& log_;
  std::shared_ptr<Link> link_;
};

enum class At { kLeader, kCoordinator, kHurried, kListening };  // kHurried: waits short for a hello; kListening: for a ping

// A leader with its streams, and hosts beside it.
class Ground {
 public:
  Ground() {
    write_text(folder_.path() + "/ca.key", folder_.authority().key);
    start(At::kLeader, Role::kRank, "a", {}, kGateways);
    start(At::kCoordinator, Role::kCoordinator, "c", {}, {{Role::kNode, ""}, {Role::kGateway, ""}, {Role::kOperator, ""}});
    start(At::kHurried, Role::kRank, "a", {.hello_s = 0.3}, kGateways);
    start(At::kListening, Role::kRank, "a", {.silence_min_s = 0.4, .silence_max_s = 0.4}, kGateways);
    LinkHostConfig config = host_config(Role::kGateway, "g", folder_.make("g", {Role::kGateway, "g"}), unused_);
    streams_host_ = LinkHost::start(std::move(config)).value();
    for (std::size_t i = 0; i < StreamsBeside::kStreams; ++i)
      dials_.push_back(streams_host_->dial("127.0.0.1", port(At::kLeader), kRanks, beside.opener()));
    HERD_CHECK(beside.all_opened(), "the streams open");
    beside.start();
  }
  [[nodiscard]] std::uint16_t port(At at) const { return ports_.at(static_cast<std::size_t>(at)); }
  [[nodiscard]] LinkHostStats stats(At at) const { return hosts_.at(static_cast<std::size_t>(at))->stats(); }
  // Of a member of the cluster.
  TlsFiles files(const PeerName& peer) { return folder_.make("made", peer); }
  [[nodiscard]] const CertificateFolder& folder() const { return folder_; }
  void stop() {
    hosts_.clear();
    streams_host_->stop();
  }

  Log log;
  StreamsBeside beside;

 private:
  void start(At at, Role role, const std::string& name, const LinkLimits& limits, const std::vector<PeerName>& accepts) {
    const PeerName holder{role == Role::kRank ? Role::kNode : role, name};
    LinkHostConfig config = host_config(role, name, folder_.make(name, holder), unused_);
    config.limits = limits;
    config.on_trouble = [this](const Status& status) { log.add(status); };
    hosts_.push_back(LinkHost::start(std::move(config)).value());
    auto open = [this](std::shared_ptr<Link> link, const PeerOpened& opened) -> std::shared_ptr<LinkOwner> {
      if (opened.hello.node == "g") return beside.take(std::move(link));
      return std::make_shared<Reader>(log, std::move(link));
    };
    ports_.push_back(hosts_.back()->listen("127.0.0.1", 0, accepts, std::move(open)).value());
    HERD_CHECK(ports_.size() == static_cast<std::size_t>(at) + 1, "in their order");
  }

  CertificateFolder folder_;
  Record unused_;
  std::vector<std::unique_ptr<LinkHost>> hosts_;
  std::vector<std::uint16_t> ports_;
  std::unique_ptr<LinkHost> streams_host_;
  std::vector<std::unique_ptr<Dial>> dials_;
};

// One ground for all rows: the streams run through all of them.
std::unique_ptr<Ground> shared_ground;
Ground& ground() {
  if (!shared_ground) shared_ground = std::make_unique<Ground>();
  return *shared_ground;
}
class EndOfStreams : public testing::Environment {
 public:
  void TearDown() override {
    if (!shared_ground) return;
    EXPECT_TRUE(shared_ground->beside.end()) << "every frame that was sent has come";
    EXPECT_TRUE(shared_ground->beside.whole());
    EXPECT_GT(shared_ground->beside.frames(), 0U);
    shared_ground->stop();
    shared_ground.reset();
  }
};
[[maybe_unused]] const auto* const kEnd = testing::AddGlobalTestEnvironment(new EndOfStreams);

void expect_undisturbed() {
  EXPECT_TRUE(ground().beside.go_on());
  EXPECT_TRUE(ground().beside.whole());
}

// What members say.

const PeerName kX{Role::kGateway, "x"};

Bytes hello_bytes(const Hello& hello) { return fragment_of(wire::encode(hello), Lane::kLink, 1); }
Bytes own_hello(void (*change)(Hello&) = [](Hello&) {}) {
  Hello hello = hello_of(Role::kGateway, "x");
  change(hello);
  return hello_bytes(hello);
}
// A sealed frame whose header is changed, with the checksum that belongs to it.
Bytes changed_frame(const wire::Frame& frame, std::size_t at, std::uint32_t value, std::size_t bytes) {
  Bytes sealed = wire::seal(frame, Epoch(1)).value();
  std::memcpy(sealed.data() + at, &value, bytes);
  std::memset(sealed.data() + 12, 0, 4);
  const std::uint32_t crc = crc32c(sealed);
  std::memcpy(sealed.data() + 12, &crc, sizeof crc);
  return sealed;
}
Bytes broken(Bytes sealed) {
  sealed.back() ^= std::byte{1};
  return sealed;
}
Bytes half(const Bytes& bytes) { return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2)}; }
wire::Frame x_hello() { return wire::encode(hello_of(Role::kGateway, "x")); }
wire::Frame own_abort() { return wire::encode(step::AttemptKey{GatewayId(7), SequenceId(1), 0}); }

void say_plain(RawPeer& peer, const std::string& text) { peer.say_plain(text_bytes(text)); }
// Through TLS as gateway "x".
void say_as_x(RawPeer& peer, const Bytes& bytes) {
  const TlsFiles files = ground().files(kX);
  EXPECT_TRUE(peer.secure(&files));
  peer.say(bytes);
}
// The same behind a good hello.
void say_open(RawPeer& peer, const Bytes& bytes) {
  Bytes all = own_hello();
  all.insert(all.end(), bytes.begin(), bytes.end());
  say_as_x(peer, all);
}
void say_open(RawPeer& peer, const wire::Frame& frame) { say_open(peer, fragment_of(frame, lane_of(frame.kind), 2)); }
void say_as(RawPeer& peer, const PeerName& holder, const Hello& hello, const wire::Frame& frame = {}) {
  const TlsFiles files = ground().files(holder);
  EXPECT_TRUE(peer.secure(&files));
  peer.say(hello_bytes(hello));
  if (frame.kind != FrameKind::kUnknown) peer.say(fragment_of(frame, lane_of(frame.kind), 2));
}
void shake_hands_with(RawPeer& peer, const CertificatePair& pair) {
  const TlsFiles files = ground().folder().put("odd", pair);
  (void)peer.secure(&files);
}
void shake_hands_as(RawPeer& peer, const PeerName& holder, Validity validity = {}) {
  shake_hands_with(peer, make_certificate(ground().folder().authority(), holder, validity).value());
}

struct Row {
  const char* name;
  void (*act)(RawPeer&);
  const char* who;
  const char* cause;
  At at = At::kLeader;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
class Refused : public testing::TestWithParam<Row> {};
std::string name_of_row(const testing::TestParamInfo<Row>& row) { return row.param.name; }

TEST_P(Refused, WithOneLineWhileStreamsRun) {
  const Row& row = GetParam();
  const LinkHostStats before = ground().stats(row.at);
  const std::size_t begin = ground().log.size();
  RawPeer peer(ground().port(row.at));
  const std::string address = peer.address();
  row.act(peer);
  ASSERT_FALSE(ground().log.of(address, begin).empty()) << "no line for " << address;
  expect_undisturbed();
  const auto lines = ground().log.of(address, begin);
  EXPECT_EQ(lines.size(), 1U) << lines.back();
  EXPECT_EQ(lines[0].find(std::string(row.who) + " at " + address + ": "), 0U) << lines[0];
  EXPECT_NE(lines[0].find(row.cause), std::string::npos) << lines[0];
  EXPECT_TRUE(std::ranges::none_of(lines[0], [](char c) { return static_cast<unsigned char>(c) < 0x20; })) << lines[0];
  const LinkHostStats after = ground().stats(row.at);
  EXPECT_EQ(after.refused + after.lost, before.refused + before.lost + 1);
}

INSTANTIATE_TEST_SUITE_P(
    BeforeTls, Refused,
    testing::Values(
        Row{"http", [](RawPeer& p) { say_plain(p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); }, "somebody", "TLS: http request"},
        Row{"ssh", [](RawPeer& p) { say_plain(p, "SSH-2.0-OpenSSH_9.2\r\n"); }, "somebody", "TLS: "},
        Row{"garbage", [](RawPeer& p) { say_plain(p, std::string(4096, '\x7f')); }, "somebody", "TLS: "},
        Row{"zeros", [](RawPeer& p) { say_plain(p, std::string(64, '\0')); }, "somebody", "TLS: "},
        Row{"alert", [](RawPeer& p) { say_plain(p, std::string("\x15\x03\x01\x00\x02\x02\x28", 7)); }, "somebody", "TLS: "},
        Row{"record_of_64_KiB",
            [](RawPeer& p) { say_plain(p, std::string("\x16\x03\x01\xff\xff\x01", 6) + std::string(70'000, 'x')); },
            "somebody", "TLS: "},
        Row{"a_hello_in_plaintext", [](RawPeer& p) { p.say_plain(own_hello()); }, "somebody", "TLS: "},
        Row{"hangs_up", [](RawPeer& p) { p.hang_up(); }, "somebody", "TLS: "},
        Row{"hangs_up_in_the_handshake",
            [](RawPeer& p) { say_plain(p, std::string("\x16\x03\x01\x02", 4)), p.hang_up(); },
            "somebody", "TLS: "},
        Row{"says_nothing", [](RawPeer&) {}, "somebody", "no hello within 0.3 s", At::kHurried},
        Row{"begins_a_handshake_and_stops",
            [](RawPeer& p) { say_plain(p, std::string("\x16\x03\x01\x02", 4)); },
            "somebody", "no hello within 0.3 s", At::kHurried},
        Row{"a_recorded_connection",
            [](RawPeer& p) {
              RawPeer first(ground().port(At::kListening));  // with the same certificate
              say_open(first, own_abort());
              EXPECT_FALSE(first.sent().empty());
              p.say_plain(first.sent());
            },
            "somebody", "TLS: "}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Certificate, Refused,
    testing::Values(
        Row{"none", [](RawPeer& p) { (void)p.secure(nullptr); }, "somebody", "TLS: peer did not return a certificate"},
        Row{"tls_1_2",
            [](RawPeer& p) {
              const TlsFiles files = ground().files(kX);
              EXPECT_FALSE(p.secure(&files, TLS1_2_VERSION));
            },
            "somebody", "TLS: unsupported protocol"},
        Row{"of_another_authority",
            [](RawPeer& p) { shake_hands_with(p, make_certificate(make_authority("test", {}).value(), kX, {}).value()); }, "somebody",
            "its certificate: unable to get local issuer certificate"},
        Row{"signed_by_itself", [](RawPeer& p) { shake_hands_with(p, make_authority("test", {}).value()); }, "somebody",
            "its certificate: self-signed certificate"},
        Row{"signed_by_a_node",
            [](RawPeer& p) {
              const auto node = make_certificate(ground().folder().authority(), {Role::kNode, "evil"}, {}).value();
              auto pair = make_certificate(node, kX, {}).value();
              pair.certificate += node.certificate;
              shake_hands_with(p, pair);
            },
            "somebody", "its certificate: invalid CA certificate"},
        Row{"expired", [](RawPeer& p) { shake_hands_as(p, kX, {.days = -1}); }, "somebody", "its certificate: certificate has expired"},
        Row{"of_a_rank",
            [](RawPeer& p) { shake_hands_as(p, {Role::kRank, "x"}); },
            "somebody", "certificate: its URI names no role that has one"},
        Row{"without_a_name", [](RawPeer& p) { shake_hands_as(p, {Role::kGateway, ""}); }, "somebody", "certificate: a name has 1 to 63"},
        Row{"with_a_name_that_is_none",
            [](RawPeer& p) { shake_hands_as(p, {Role::kGateway, "x y"}); },
            "somebody", "certificate: a name has 1 to 63"},
        Row{"without_a_uri",
            [](RawPeer& p) {
              const std::string folder = ground().folder().path();
              const std::string command = "cd " + folder + " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes" +
                                          " -subj /CN=x -days 2 -keyout plain.key -out plain.pem -CA ca.pem -CAkey ca.key 2>/dev/null";
              ASSERT_EQ(std::system(command.c_str()), 0);
              const TlsFiles files{folder + "/plain.pem", folder + "/plain.key", folder + "/ca.pem"};
              (void)p.secure(&files);
            },
            "somebody", "certificate: it has no herd: URI"}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Hello, Refused,
    testing::Values(
        Row{"of_another_cluster", [](RawPeer& p) { say_as_x(p, own_hello([](Hello& h) { h.cluster = "other"; })); }, "gateway \"x\"",
            "it belongs to cluster \"other\", this process to \"test\""},
        Row{"of_another_version", [](RawPeer& p) { say_as_x(p, own_hello([](Hello& h) { h.protocol_min = h.protocol_max = 9; })); },
            "gateway \"x\"", "it speaks protocol versions 9 to 9, this process 1 to 1"},
        Row{"without_a_version", [](RawPeer& p) { say_as_x(p, own_hello([](Hello& h) { h.protocol_min = h.protocol_max = 0; })); },
            "gateway \"x\"", "protocol versions: 0 to 0"},
        Row{"without_an_incarnation", [](RawPeer& p) { say_as_x(p, own_hello([](Hello& h) { h.incarnation = 0; })); }, "gateway \"x\"",
            "incarnation: 0"},
        Row{"with_an_escape_sequence", [](RawPeer& p) { say_as_x(p, own_hello([](Hello& h) { h.build_id = "\x1b[2J"; })); },
            "gateway \"x\"", "build id: holds a control character"},
        Row{"under_another_name", [](RawPeer& p) { say_as_x(p, own_hello([](Hello& h) { h.node = "gg"; })); }, "gateway \"x\"",
            "it calls itself gateway \"gg\", its certificate is that of gateway \"x\""},
        Row{"of_a_leader_by_a_gateway",
            [](RawPeer& p) { say_as_x(p, own_hello([](Hello& h) { h.role = Role::kRank, h.model = "llama"; })); },
            "gateway \"x\"", "it calls itself rank \"x\", its certificate is that of gateway \"x\""},
        Row{"of_a_gateway_by_a_node", [](RawPeer& p) { say_as(p, {Role::kNode, "x"}, hello_of(Role::kGateway, "x")); }, "node \"x\"",
            "it calls itself gateway \"x\", its certificate is that of node \"x\""},
        Row{"of_a_node", [](RawPeer& p) { say_as(p, {Role::kNode, "x"}, hello_of(Role::kNode, "x")); }, "node \"x\"",
            "this process expects gateway here"},
        Row{"of_a_leader", [](RawPeer& p) { say_as(p, {Role::kNode, "x"}, hello_of(Role::kRank, "x")); }, "node \"x\"",
            "this process expects gateway here"},
        Row{"of_an_operator", [](RawPeer& p) { say_as(p, {Role::kOperator, "x"}, hello_of(Role::kOperator, "x")); }, "operator \"x\"",
            "this process expects gateway here"},
        Row{"of_a_leader_at_a_coordinator", [](RawPeer& p) { say_as(p, {Role::kNode, "x"}, hello_of(Role::kRank, "x")); }, "node \"x\"",
            "this process expects node or gateway or operator here", At::kCoordinator},
        Row{"of_a_second_coordinator", [](RawPeer& p) { say_as(p, {Role::kCoordinator, "c"}, hello_of(Role::kCoordinator, "c")); },
            "coordinator \"c\"", "this process expects node or gateway or operator here", At::kCoordinator}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    BeforeItsHello, Refused,
    testing::Values(
        Row{"http",
            [](RawPeer& p) { say_as_x(p, text_bytes("GET / HTTP/1.1\r\n\r\n")); },
            "gateway \"x\"", "no fragment of a herd connection"},
        Row{"zeros", [](RawPeer& p) { say_as_x(p, Bytes(64)); }, "gateway \"x\"", "no fragment of a herd connection"},
        Row{"unknown_lane",
            [](RawPeer& p) { say_as_x(p, fragment_of(own_abort(), static_cast<Lane>(4), 1)); },
            "gateway \"x\"", "unknown lane 4"},
        Row{"ping",
            [](RawPeer& p) { say_as_x(p, fragment_of(wire::encode(handshake::Ping()), Lane::kLink, 1)); },
            "gateway \"x\"", "kind 12 before its hello"},
        Row{"abort",
            [](RawPeer& p) { say_as_x(p, fragment_of(own_abort(), Lane::kRequests, 1)); },
            "gateway \"x\"", "kind 3 before its hello"},
        Row{"wrong_lane", [](RawPeer& p) { say_as_x(p, fragment_of(x_hello(), Lane::kTokens, 1)); },
            "gateway \"x\"", "kind 1 in lane 2"},
        Row{"second_fragment", [](RawPeer& p) { say_as_x(p, fragment_of(x_hello(), Lane::kLink, 2)); },
            "gateway \"x\"", "fragment 2 after fragment 0"},
        Row{"long_fragment",
            [](RawPeer& p) { say_as_x(p, fragment_of(Bytes(kPayloadBytesMax + 8), Lane::kLink, 1)); },
            "gateway \"x\"", "fragment of 16376 bytes"},
        Row{"odd_fragment",
            [](RawPeer& p) { say_as_x(p, fragment_of(Bytes(12), Lane::kLink, 1)); },
            "gateway \"x\"", "fragment of 12 bytes"},
        Row{"short_frame",
            [](RawPeer& p) { say_as_x(p, fragment_of(Bytes(8), Lane::kLink, 1)); },
            "gateway \"x\"", "shorter than a header"},
        Row{"no_frame", [](RawPeer& p) { say_as_x(p, fragment_of(Bytes(48), Lane::kLink, 1)); }, "gateway \"x\"", "not a herd frame"},
        Row{"old_frame",
            [](RawPeer& p) { say_as_x(p, fragment_of(changed_frame(x_hello(), 4, 0, 2), Lane::kLink, 1)); },
            "gateway \"x\"", "version 0, this build speaks 1"},
        Row{"oversize",
            [](RawPeer& p) { say_as_x(p, fragment_of(changed_frame(frame_of(FrameKind::kHello, 512), 8, 513, 4), Lane::kLink, 1)); },
            "gateway \"x\"", "513 words, at least 1 and at most 512"},
        Row{"checksum",
            [](RawPeer& p) { say_as_x(p, fragment_of(broken(wire::seal(x_hello(), {}).value()), Lane::kLink, 1)); },
            "gateway \"x\"", "wrong checksum"},
        Row{"no_message",
            [](RawPeer& p) { say_as_x(p, fragment_of(frame_of(FrameKind::kHello, 8), Lane::kLink, 1)); },
            "gateway \"x\"", "hello: "},
        Row{"goodbye", [](RawPeer& p) { say_as_x(p, fragment_of(wire::encode(handshake::Goodbye{bad_input("no")}), Lane::kLink, 1)); },
            "gateway \"x\"", "it refused this process: no"},
        Row{"half_and_gone",
            [](RawPeer& p) { say_as_x(p, half(own_hello())), p.hang_up(); },
            "gateway \"x\"", "the connection ended before its hello"},
        Row{"half_and_silent", [](RawPeer& p) { say_as_x(p, half(own_hello())); }, "gateway \"x\"", "no hello within 0.3 s", At::kHurried}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Open, Refused,
    testing::Values(
        Row{"second_hello",
            [](RawPeer& p) { say_open(p, x_hello()); },
            "gateway \"x\"", "a second hello"},
        Row{"tokens", [](RawPeer& p) { say_open(p, frame_of(FrameKind::kTokenDeltas, 4)); }, "gateway \"x\"",
            "kind 4, which a gateway has no right to send to a rank"},
        Row{"plan",
            [](RawPeer& p) { say_open(p, frame_of(FrameKind::kStepPlan, 4)); },
            "gateway \"x\"", "kind 5, which a gateway has no right to send to a rank"},
        Row{"rank_spec",
            [](RawPeer& p) { say_open(p, frame_of(FrameKind::kRankSpec, 4)); },
            "gateway \"x\"", "kind 11, which a gateway has no right to send to a rank"},
        Row{"form_replica",
            [](RawPeer& p) { say_open(p, frame_of(FrameKind::kFormReplica, 4)); },
            "gateway \"x\"", "kind 22, which a gateway has no right to send to a rank"},
        Row{"loss",
            [](RawPeer& p) { say_open(p, frame_of(FrameKind::kReplicaLoss, 4)); },
            "gateway \"x\"", "kind 10, which a gateway has no right to send to a rank"},
        Row{"ask_for_blocks",
            [](RawPeer& p) { say_open(p, frame_of(FrameKind::kMoveAsk, 4)); },
            "gateway \"x\"", "kind 45, which a gateway has no right to send to a rank"},
        Row{"unknown_kind", [](RawPeer& p) { say_open(p, fragment_of(changed_frame(own_abort(), 6, 999, 2), Lane::kRequests, 2)); },
            "gateway \"x\"", "unknown kind 999"},
        Row{"reserved_field", [](RawPeer& p) { say_open(p, fragment_of(changed_frame(own_abort(), 36, 1, 4), Lane::kRequests, 2)); },
            "gateway \"x\"", "its reserved field is not 0"},
        Row{"replay",
            [](RawPeer& p) {
              const Bytes once = fragment_of(own_abort(), Lane::kRequests, 2);
              Bytes twice = once;
              twice.insert(twice.end(), once.begin(), once.end());
              say_open(p, twice);
            },
            "gateway \"x\"", "fragment 2 after fragment 2: one is missing, repeated or out of order"},
        Row{"gap",
            [](RawPeer& p) { say_open(p, fragment_of(own_abort(), Lane::kRequests, 3)); },
            "gateway \"x\"", "fragment 3 after fragment 1"},
        Row{"wrong_lane",
            [](RawPeer& p) { say_open(p, fragment_of(own_abort(), Lane::kControl, 2)); },
            "gateway \"x\"", "kind 3 in lane 1"},
        Row{"oversize", [](RawPeer& p) { say_open(p, fragment_of(changed_frame(own_abort(), 8, 17, 4), Lane::kRequests, 2)); },
            "gateway \"x\"", "17 words, at least 1 and at most 16"},
        Row{"a_submission_of_8_MiB_and_more",
            [](RawPeer& p) {
              const Bytes longer = changed_frame(frame_of(FrameKind::kSubmission, 8), 8, (1U << 20) + 1, 4);
              say_open(p, fragment_of(longer, Lane::kRequests, 2));
            },
            "gateway \"x\"", "1048577 words, at least 1 and at most 1048576"},
        Row{"checksum", [](RawPeer& p) { say_open(p, fragment_of(broken(wire::seal(own_abort(), {}).value()), Lane::kRequests, 2)); },
            "gateway \"x\"", "wrong checksum"},
        Row{"short_fragment",
            [](RawPeer& p) {
              const Bytes sealed = wire::seal(frame_of(FrameKind::kSubmission, 5000), {}).value();
              say_open(p, fragment_of(std::span(sealed).first(48), Lane::kRequests, 2));
            },
            "gateway \"x\"", "a fragment of 48 bytes where 16368 belong"},
        Row{"garbage", [](RawPeer& p) { say_open(p, Bytes(4096, std::byte{0x7F})); }, "gateway \"x\"", "no fragment of a herd connection"},
        Row{"ping_that_is_none", [](RawPeer& p) { say_open(p, frame_of(FrameKind::kPing, 4)); }, "gateway \"x\"", "ping: "},
        Row{"goodbye_that_is_none", [](RawPeer& p) { say_open(p, frame_of(FrameKind::kGoodbye, 4)); }, "gateway \"x\"", "goodbye: "},
        Row{"submission_that_is_none", [](RawPeer& p) { say_open(p, frame_of(FrameKind::kSubmission, 40)); }, "gateway \"x\"",
            "closed by this process: submission: "},
        Row{"submission_without_tokens", [](RawPeer& p) { say_open(p, wire::encode(step::Submission{})); }, "gateway \"x\"",
            "closed by this process: submission: "},
        Row{"join_that_is_none", [](RawPeer& p) { say_open(p, frame_of(FrameKind::kGatewayJoin, 4)); }, "gateway \"x\"",
            "closed by this process: gateway's join: "},
        Row{"half_a_frame_and_gone",
            [](RawPeer& p) {
              const Bytes sealed = wire::seal(frame_of(FrameKind::kSubmission, 5000), {}).value();
              say_open(p, fragment_of(std::span(sealed).first(kPayloadBytesMax), Lane::kRequests, 2));
              p.hang_up();
            },
            "gateway \"x\"", "the connection is lost"},
        Row{"silent", [](RawPeer& p) { say_open(p, own_abort()); }, "gateway \"x\"", "silent for 0.", At::kListening},
        Row{"a_node_says_what_only_leaders_say",
            [](RawPeer& p) { say_as(p, {Role::kNode, "x"}, hello_of(Role::kNode, "x"), frame_of(FrameKind::kGenerationEnded, 4)); },
            "node \"x\"", "kind 30, which a node has no right to send to a coordinator", At::kCoordinator},
        Row{"a_gateway_joins_as_a_node",
            [](RawPeer& p) { say_as(p, kX, hello_of(Role::kGateway, "x"), frame_of(FrameKind::kNodeJoin, 4)); }, "gateway \"x\"",
            "kind 14, which a gateway has no right to send to a coordinator", At::kCoordinator},
        Row{"a_node_asks_for_the_status",
            [](RawPeer& p) { say_as(p, {Role::kNode, "x"}, hello_of(Role::kNode, "x"), frame_of(FrameKind::kStatusAsk, 2)); }, "node \"x\"",
            "kind 33, which a node has no right to send to a coordinator", At::kCoordinator},
        Row{"an_operator_assigns",
            [](RawPeer& p) { say_as(p, {Role::kOperator, "x"}, hello_of(Role::kOperator, "x"), frame_of(FrameKind::kAssignment, 4)); },
            "operator \"x\"", "kind 15, which a operator has no right to send to a coordinator", At::kCoordinator}),
    name_of_row);

// More strangers at a time than may be on their way.
TEST(RefusedTogether, AFloodOfStrangers) {
  const LinkHostStats before = ground().stats(At::kLeader);
  const std::size_t begin = ground().log.size();
  std::vector<std::unique_ptr<RawPeer>> strangers;
  for (int i = 0; i < 100; ++i) strangers.push_back(std::make_unique<RawPeer>(ground().port(At::kLeader)));
  expect_undisturbed();
  for (int i = 0; i < 3000 && ground().stats(At::kLeader).accepted < before.accepted + 100; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(ground().stats(At::kLeader).turned_away, before.turned_away + 36);
  std::vector<std::string> addresses;
  for (const auto& stranger : strangers) addresses.push_back(stranger->address());
  strangers.clear();
  for (int i = 0; i < 64; ++i) EXPECT_FALSE(ground().log.of(addresses[static_cast<std::size_t>(i)], begin).empty());
  expect_undisturbed();
}

// The process has no descriptor left for who comes: he waits, the others do not notice, and he is heard once there is one.
TEST(RefusedTogether, NoDescriptorsLeft) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const LinkHostStats stats = ground().stats(At::kLeader);
  // A socket of this side exists before the limit; the other side's cannot be made.
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const rlimit none{0, before.rlim_max};  // what is open stays open
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(ground().port(At::kLeader));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  expect_undisturbed();
  EXPECT_EQ(ground().stats(At::kLeader).accepted, stats.accepted);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  for (int i = 0; i < 3000 && ground().stats(At::kLeader).accepted == stats.accepted; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(ground().stats(At::kLeader).accepted, stats.accepted + 1);
  close(fd);
}

// A member that joins and never reads costs its own connection.
TEST(RefusedTogether, AMemberThatDoesNotRead) {
  Log log;
  Record unused;
  LinkHostConfig config = host_config(Role::kRank, "a", ground().files({Role::kNode, "a"}), unused);
  config.limits.queued_bytes_max = 8 << 20;
  std::shared_ptr<Link> link;
  std::mutex mutex;
  std::condition_variable opened;
  const auto host = LinkHost::start(std::move(config)).value();
  const auto open = [&](std::shared_ptr<Link> given, const PeerOpened&) -> std::shared_ptr<LinkOwner> {
    const std::lock_guard lock(mutex);
    link = given;
    opened.notify_all();
    return std::make_shared<Reader>(log, std::move(given));
  };
  RawPeer peer(host->listen("127.0.0.1", 0, kGateways, open).value());
  say_as_x(peer, own_hello());
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(opened.wait_for(lock, kLong, [&] { return link != nullptr; }));
  }
  const wire::Frame frame = frame_of(FrameKind::kTokenDeltas, 1U << 14);
  std::size_t queued = 0;
  while (link->send(frame, Epoch(1), {}).ok()) queued = std::max(queued, link->queued_bytes());
  EXPECT_LE(queued, (std::size_t{8} << 20) + 64 * 1024);
  expect_undisturbed();
  const auto lines = log.of(peer.address(), 0);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("gateway \"x\" at " + peer.address() + ": it does not read"), std::string::npos) << lines[0];
}

}  // namespace
}  // namespace herd::link
