#include "cluster/wire/link_codec.h"

#include "cluster/schema/link.capnp.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {

using handshake::Goodbye;
using handshake::Ping;

Status validate(const Ping&) { return {}; }

Status validate(const Goodbye& goodbye) {
  if (goodbye.why.ok()) return bad_input("goodbye: without a reason");
  return status_of([&] { check_text(goodbye.why.message(), kGoodbyeBytesMax, "goodbye: its text"); });
}

Frame encode(const Ping&) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::Ping>();
  return {FrameKind::kPing, to_words(message)};
}

Frame encode(const Goodbye& goodbye) {
  capnp::MallocMessageBuilder message;
  write(message.initRoot<schema::Goodbye>().initWhy(),
        Status(goodbye.why.code(), clean_text(goodbye.why.message(), kGoodbyeBytesMax)));
  return {FrameKind::kGoodbye, to_words(message)};
}

Expected<Ping> decode_ping(std::span<const std::uint64_t> words) {
  return read_message<schema::Ping, Ping>(FrameKind::kPing, "ping", words, [](schema::Ping::Reader) { return Ping(); });
}

Expected<Goodbye> decode_goodbye(std::span<const std::uint64_t> words) {
  return read_message<schema::Goodbye, Goodbye>(FrameKind::kGoodbye, "goodbye", words, [](schema::Goodbye::Reader from) {
    Goodbye goodbye{read_status(from.getWhy())};
    require(validate(goodbye));
    return goodbye;
  });
}

}  // namespace herd::wire
