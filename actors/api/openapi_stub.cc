// The endpoint's description is not embedded yet: an empty object stands in for it.

#include "actors/openai/openapi.h"

namespace herd::openai {

std::string_view openapi_json() { return "{}"; }

}  // namespace herd::openai
