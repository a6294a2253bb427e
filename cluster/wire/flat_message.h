#pragma once
// Flat words <-> Cap'n Proto, with the limits that make reading a stranger's bytes safe. Included by codec .cc
// files only: capnp and kj stay behind them.

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include "cluster/wire/envelope.h"
#include "kernels/check.h"
#include "kernels/status.h"

namespace herd::wire {

// Thrown and caught inside this folder: one field is not acceptable.
struct Refusal {
  Status status;
};

inline void require(bool condition, const char* what) {
  if (!condition) throw Refusal{bad_input(what)};
}
inline void require(Status status) {
  if (!status.ok()) throw Refusal{std::move(status)};
}

// A segment table of at most 16 segments that accounts for every word. Cheap, before any kj code runs.
[[nodiscard]] Status check_segment_table(std::span<const std::uint64_t> words);

inline Words to_words(capnp::MessageBuilder& message) {
  const auto flat = capnp::messageToFlatArray(message);
  const auto bytes = flat.asBytes();
  Words words(flat.size());
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<kj::byte*>(words.data()));
  return words;
}

// read(root) makes the value; its Refusal or any kj::Exception becomes a Status that begins with `name`.
template <class Root, class Value, class Read>
Expected<Value> read_message(FrameKind kind, const char* name, std::span<const std::uint64_t> words, Read read) {
  const auto refuse = [name](const std::string& why) { return fail(bad_input(std::string(name) + ": " + why)); };
  if (words.empty() || words.size() > frame_words_max(kind)) return refuse("length outside its limit");
  if (Status status = check_segment_table(words); !status.ok()) return refuse(status.message());
  try {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = 2 * words.size() + 1024;
    options.nestingLimit = 32;
    capnp::FlatArrayMessageReader reader(kj::arrayPtr(reinterpret_cast<const capnp::word*>(words.data()), words.size()),
                                         options);
    return Expected<Value>(read(reader.getRoot<Root>()));
  } catch (const Refusal& refusal) {
    return refuse(refusal.status.message());
  } catch (const kj::Exception& exception) {
    return refuse(exception.getDescription().cStr());
  }
}

}  // namespace herd::wire
