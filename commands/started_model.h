#pragma once
// A model started in this process by a command: its words, and the ranks that compute it.

#include <memory>
#include <string>

#include "actors/engine.h"
#include "endpoint/served/served_text.h"
#include "kernels/status.h"

namespace herd::commands {

struct StartedModel {
  served::ServedText text;
  std::unique_ptr<actors::Engine> engine;  // never null
};

// Opens the model, then its text while ranks start: what is wrong with a file of either is said at once, as weights that nobody
// can use are not read on. Notes and warnings go where `options` says, whatever `text` says, in one order: the text's first.
[[nodiscard]] Expected<StartedModel> start_model(actors::EngineOptions options, served::TextOptions text);

}  // namespace herd::commands
