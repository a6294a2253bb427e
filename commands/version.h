#pragma once
// Which herd this is.

namespace herd {
// "0.1.0 (git 1a2b3c4)"; the id is "unknown" outside a git checkout, "+changes" marks an unclean one.
const char* version();
}  // namespace herd
