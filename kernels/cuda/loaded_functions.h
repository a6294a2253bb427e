#pragma once
// A table of functions of a library that is found at run time, because not every machine has it or needs it.

#include <dlfcn.h>

#include <string>
#include <type_traits>

#include "kernels/status.h"

namespace herd::cuda {

template <class Table, class Function>
struct NamedFunction {
  const char* name;
  Function Table::*member;
};
template <class Table, class Function>
NamedFunction(const char*, Function Table::*) -> NamedFunction<Table, Function>;

// Fills a Table of function pointers. The library stays loaded. kMissing: `absent` and the loader's reason when `library`
// cannot be loaded, `incomplete` and the reason when it lacks a function.
template <class Table, class... Functions>
Expected<Table> load_functions(const char* library, const char* absent, const char* incomplete,
                               NamedFunction<Table, Functions>... functions) {
  void* loaded = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) return fail(missing(std::string(absent) + ": " + ::dlerror()));
  Table table = {};
  const auto find = [&](auto named) {
    auto& function = table.*named.member;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(loaded, named.name));
    return function != nullptr;
  };
  if (!(find(functions) && ...)) return fail(missing(std::string(incomplete) + ": " + ::dlerror()));
  return table;
}

}  // namespace herd::cuda
