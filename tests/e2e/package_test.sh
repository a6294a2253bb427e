#!/usr/bin/env bash
# The Debian package that cpack makes of a build: what is in it, and its life: installed, run, removed, purged, on this machine as a
# layer of its own sees it (overlayfs in a mount namespace), so that nothing of the machine changes. Needs root for that part.
#   tests/e2e/package_test.sh [BUILD]      build/release by default; all of it is built
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$(realpath "${1:-build/release}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() { echo "FAILED: $*"; exit 1; }

cpack -G DEB --config "$build/CPackConfig.cmake" -B "$folder/made" -D CPACK_THREADS=0 >"$folder/log" 2>&1 || { cat "$folder/log"; fail "cpack"; }
package=$(ls "$folder"/made/herd_*.deb)
field() { dpkg-deb --field "$package" "$1"; }
[ "$(field Package)" = herd ] || fail "its name is $(field Package)"
version=$(sed -n 's/^project(herd VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
[ "$(field Version)" = "$version" ] || fail "its version is $(field Version), not $version"
for library in libc6 libssl3 libcaf-core0.17; do
  grep -q "\b$library\b" <<<"$(field Depends)" || fail "it does not depend on $library: $(field Depends)"
done
dpkg-deb --fsys-tarfile "$package" | tar -tv >"$folder/list"
if grep -vE '^[a-z-]+ (0/0|root/root) ' "$folder/list"; then fail "files that are not root's"; fi
if awk '{print $1}' "$folder/list" | grep -E '^.{8}w'; then fail "files that anybody may change"; fi
for file in usr/bin/herd usr/lib/systemd/system/herd{,-cluster,-coordinator,-node@,-gateway@}.service usr/lib/systemd/system/herd.socket \
  usr/lib/sysusers.d/herd.conf usr/share/bash-completion/completions/herd usr/share/zsh/vendor-completions/_herd \
  usr/share/fish/vendor_completions.d/herd.fish usr/share/herd/demo_model/config.json usr/share/herd/cluster/three_nodes.yaml \
  usr/share/herd/kubernetes/nodes.yaml usr/share/doc/herd/{copyright,README.md,deploy.md,cluster.md}; do
  grep -q " \./$file$" "$folder/list" || fail "$file is not in it"
done
if grep -E ' \./(etc|var|lib|usr/local|usr/include)/.' "$folder/list"; then fail "files where a package has none"; fi

# Unpacked, as any user can: the program runs from where it lies, and finds what lies beside it.
dpkg-deb --extract "$package" "$folder/unpacked"
"$folder/unpacked/usr/bin/herd" --version
"$folder/unpacked/usr/bin/herd" check "$folder"/unpacked/usr/share/herd/cluster/*.yaml
echo "passed: contents"

if [ "$(id -u)" != 0 ] || ! unshare --mount true 2>/dev/null; then
  echo "SKIPPED: the package is installed and removed: needs root and mount namespaces"
  exit 0
fi
cat >"$folder/life.sh" <<'LIFE'
set -euo pipefail
folder=$1 package=$2
fail() { echo "FAILED: $*"; exit 1; }
mount -t tmpfs tmpfs "$folder/layer" && mkdir -p "$folder/layer"/{upper,work,root}
if ! mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/layer/upper,workdir=$folder/layer/work" "$folder/layer/root" 2>"$folder/why"; then
  echo "SKIPPED: the package is installed and removed: no overlay here ($(tr '\n' ' ' <"$folder/why"))"
  exit 0
fi
root=$folder/layer/root
mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"
mkdir -p "$root/run/herd-test" && cp "$package" "$root/run/herd-test/herd.deb"
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LANG=C.UTF-8 "$@"; }
# What dpkg knows and what lies there of herd, beside this test's own.
traces() {
  (cd "$folder/layer/upper" && find . \( -iname '*herd*' -o -lname '*herd*' \) ! -type c ! -path './run/*' ! -path './tmp/*' ! -path './var/lib/dpkg/*' | sort)
}
before=$(traces)
inside dpkg --install /run/herd-test/herd.deb >"$folder/log" 2>&1 || { cat "$folder/log"; fail "dpkg --install"; }
inside dpkg --status herd | grep -q '^Status: install ok installed' || fail "dpkg does not say that it is installed"
inside dpkg --verify herd || fail "files differ from those of the package"
[ "$(inside getent passwd herd | cut -d: -f6,7)" = /var/lib/herd:/usr/sbin/nologin ] || fail "the user: $(inside getent passwd herd)"
[ "$(inside stat -c '%a %U:%G' /etc/herd)" = '750 root:herd' ] || fail "/etc/herd: $(inside stat -c '%a %U:%G' /etc/herd)"
inside herd --version
inside herd check /usr/share/herd/cluster/three_nodes.yaml /usr/share/herd/cluster/one_host.yaml
units=$(inside dpkg --listfiles herd | grep -E '/systemd/system/.*\.(service|socket)$')
if inside sh -c 'command -v systemd-analyze' >/dev/null; then
  # The program is there now: units are verified as they are.
  inside systemd-analyze verify $units >"$folder/log" 2>&1 || { cat "$folder/log"; fail "systemd-analyze verify"; }
  if grep -i herd "$folder/log"; then fail "systemd-analyze says something of herd's units"; fi
else
  echo "SKIPPED: installed units are verified: there is no systemd-analyze here"
fi
# As a unit runs it: as its user, in its own folder.
inside install -d -m 0700 -o herd -g herd /var/lib/herd
answer=$(inside setpriv --reuid herd --regid herd --clear-groups herd generate --quiet --instruct --prompt "What is the capital of France?" --max-new-tokens 30)
grep -qi paris <<<"$answer" || fail "it answers: $answer"
inside sh -c 'ln -s /usr/lib/systemd/system/herd.service /etc/systemd/system/multi-user.target.wants/herd.service; echo kept >/etc/herd/cluster.yaml'
inside dpkg --install /run/herd-test/herd.deb >"$folder/log" 2>&1 || { cat "$folder/log"; fail "an upgrade"; }
inside dpkg --remove herd >"$folder/log" 2>&1 || { cat "$folder/log"; fail "dpkg --remove"; }
inside test -f /etc/herd/cluster.yaml -a -d /var/lib/herd || fail "a removal took settings or state"
if inside sh -c 'command -v herd'; then fail "the program is still there"; fi
inside dpkg --purge herd >"$folder/log" 2>&1 || { cat "$folder/log"; fail "dpkg --purge"; }
after=$(traces)
[ "$(comm -13 <(echo "$before") <(echo "$after"))" = "$(printf './etc/herd')" ] || fail "left behind: $after"
inside rm /etc/herd/cluster.yaml
inside dpkg --install /run/herd-test/herd.deb >/dev/null 2>&1
inside dpkg --purge herd >/dev/null 2>&1
[ "$(comm -13 <(echo "$before") <(traces))" = "" ] || fail "left behind where the operator left nothing: $(traces)"
if inside dpkg --status herd >/dev/null 2>&1 && inside dpkg --status herd | grep -q '^Status: .* installed'; then fail "dpkg still knows it"; fi
echo "passed: installed, run, upgraded, removed, purged"
LIFE
mkdir "$folder/layer"
unshare --mount --propagation private bash "$folder/life.sh" "$folder" "$package"
