#include "cluster/wire/control_codec.h"

#include "cluster/schema/control.capnp.h"
#include "cluster/wire/flat_message.h"

namespace herd::wire {
namespace {

Status mismatch(const char* what, const std::string& ours, const std::string& theirs) {
  return bad_input(std::string("hello: ") + what + " differs: ours " + ours + ", theirs " + theirs);
}

}  // namespace

Status validate(const Hello& hello) {
  if (hello.protocol_version == 0) return bad_input("protocol version 0");
  for (const std::string* text : {&hello.build_id, &hello.model, &hello.numerics_id})
    if (text->size() > kHelloTextBytesMax) return bad_input("a text longer than 256 bytes");
  return {};
}

Frame encode(const Hello& hello) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::Hello>();
  to.setProtocolVersion(hello.protocol_version);
  to.setBuildId(hello.build_id.c_str());
  to.setModel(hello.model.c_str());
  to.setNumericsId(hello.numerics_id.c_str());
  return {FrameKind::kHello, 0, to_words(message)};
}

Expected<Hello> decode_hello(std::span<const std::uint64_t> words) {
  return read_message<schema::Hello, Hello>(FrameKind::kHello, "hello", words, [](schema::Hello::Reader from) {
    Hello hello{from.getProtocolVersion(), from.getBuildId().cStr(), from.getModel().cStr(),
                from.getNumericsId().cStr()};
    require(validate(hello));
    return hello;
  });
}

Status check_hello(const Hello& ours, const Hello& theirs) {
  if (ours.protocol_version != theirs.protocol_version)
    return mismatch("protocol version", std::to_string(ours.protocol_version), std::to_string(theirs.protocol_version));
  if (ours.model != theirs.model) return mismatch("model", ours.model, theirs.model);
  if (ours.numerics_id != theirs.numerics_id) return mismatch("numerics id", ours.numerics_id, theirs.numerics_id);
  return {};
}

}  // namespace herd::wire
