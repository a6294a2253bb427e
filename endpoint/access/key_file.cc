// The key that authenticates event ids: drawn, kept in a file that only its owner can read, and found again.
#include "endpoint/access/event_id.h"
#include "endpoint/access/secret_file.h"
#include "kernels/check.h"
#include "kernels/process_limits.h"
#include "runtime/text/hex.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace herd::access {
namespace {

using Key = std::array<std::uint8_t, EventIdCodec::kKeyBytes>;
constexpr std::size_t kTextBytes = 2 * EventIdCodec::kKeyBytes + 1;
constexpr int kAttemptsMax = 3;

Status cannot(const std::string& what, const std::string& path, int error) {
  return missing(path + ": cannot " + what + ": " + system_error_text(error));
}

std::string as_text(const Key& key) { return text::hex(key) + "\n"; }

Expected<Key> parse_key(const std::string& text, const std::string& path) {
  const auto bytes = text.size() == kTextBytes && text.back() == '\n'
                         ? text::hex_bytes(std::string_view(text).substr(0, kTextBytes - 1))
                         : std::nullopt;
  if (!bytes) return fail(bad_input(path + ": not a key of event ids (64 hexadecimal digits and a newline)"));
  Key key{};
  std::copy(bytes->begin(), bytes->end(), key.begin());
  return key;
}

// Folders that are not there, each for the owner alone.
Status make_folders(const std::filesystem::path& folder) {
  if (folder.empty() || ::access(folder.c_str(), F_OK) == 0) return {};
  if (folder.has_relative_path()) {
    if (Status status = make_folders(folder.parent_path()); !status.ok()) return status;
  }
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return cannot("make the folder", folder, errno);
  return {};
}

bool write_all(int file, const std::string& text) {
  return write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(file) == 0;
}

// Written beside and then linked to its name, which fails when the name is there: whoever sees the file sees all of it,
// and of two that start at once one makes it. True: made; false: another one did.
Expected<bool> make_key(const std::string& path) {
  std::string draft = path + ".XXXXXX";
  const int file = mkostemp(draft.data(), O_CLOEXEC);  // mode 0600, O_EXCL
  if (file < 0) return fail(cannot("make a file beside it", path, errno));
  const bool written = write_all(file, as_text(random_key()));
  int error = errno;
  close(file);
  const bool linked = written && link(draft.c_str(), path.c_str()) == 0;
  if (written && !linked) error = errno;
  unlink(draft.c_str());
  if (!linked && error != EEXIST) return fail(cannot("be made", path, error));
  return linked;
}

}  // namespace

Key random_key() {
  Key key{};
  HERD_CHECK(getrandom(key.data(), key.size(), 0) == static_cast<ssize_t>(key.size()), "the kernel gives random bytes");
  return key;
}

Expected<Key> load_or_make_key(const std::string& path) {
  Status unreadable;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const auto text = read_secret_file(path, kTextBytes);
    if (text) return parse_key(*text, path);
    if (text.error().code() != StatusCode::kMissing) return fail(text.error());
    unreadable = text.error();
    // There after all: made since the attempt to read it, or not readable, which the next attempt will tell.
    if (::access(path.c_str(), F_OK) == 0) continue;
    if (Status status = make_folders(std::filesystem::path(path).parent_path()); !status.ok()) return fail(status);
    if (const auto made = make_key(path); !made) return fail(made.error());
  }
  return fail(unreadable);  // also a link to nowhere: neither to be read nor to be made
}

}  // namespace herd::access
