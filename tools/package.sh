#!/usr/bin/env bash
# The Debian package of herd, in build/packages/: installs what is missing to build it, builds, packs.
#   tools/package.sh [PRESET]     package (the default) builds herd without its tests
. "$(dirname "$0")/prepare.sh"
preset=${1:-package}
install_packages
build "$preset"
rm -rf build/packages
cpack -G DEB --config "build/$preset/CPackConfig.cmake" -B build/packages >"$herd_cache/package.log" 2>&1 ||
  { cat "$herd_cache/package.log"; exit 1; }
rm -rf build/packages/_CPack_Packages
ls build/packages/herd_*.deb
