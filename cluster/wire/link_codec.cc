#include "cluster/wire/link_codec.h"

#include <algorithm>
#include <string>

#include "cluster/schema/link.capnp.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using handshake::Goodbye;
using handshake::Progress;

// It is shown in logs and terminals, and holds nothing that steers them.
bool steers(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

Status validate(const Progress&) { return {}; }

Status validate(const Goodbye& goodbye) {
  if (goodbye.why.ok()) return bad_input("goodbye: without a reason");
  if (goodbye.why.message().size() > kGoodbyeBytesMax) return bad_input("goodbye: its text is longer than 1024 bytes");
  if (std::ranges::any_of(goodbye.why.message(), steers)) return bad_input("goodbye: its text holds a control character");
  return {};
}

Frame encode(const Progress& ping) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::Ping>();
  to.setDone(ping.done);
  to.setOpen(ping.open);
  return {FrameKind::kPing, to_words(message)};
}

Frame encode(const Goodbye& goodbye) {
  capnp::MallocMessageBuilder message;
  std::string text = goodbye.why.message();
  text.resize(std::min(text.size(), kGoodbyeBytesMax));
  std::ranges::replace_if(text, steers, ' ');
  write(message.initRoot<schema::Goodbye>().initWhy(), Status(goodbye.why.code(), std::move(text)));
  return {FrameKind::kGoodbye, to_words(message)};
}

Expected<Progress> decode_ping(std::span<const std::uint64_t> words) {
  return read_message<schema::Ping, Progress>(FrameKind::kPing, "ping", words, [](schema::Ping::Reader from) {
    return Progress{from.getDone(), from.getOpen()};
  });
}

Expected<Goodbye> decode_goodbye(std::span<const std::uint64_t> words) {
  return read_message<schema::Goodbye, Goodbye>(FrameKind::kGoodbye, "goodbye", words, [](schema::Goodbye::Reader from) {
    Goodbye goodbye{read_status(from.getWhy())};
    require(validate(goodbye));
    return goodbye;
  });
}

}  // namespace herd::wire
