#!/usr/bin/env bash
# Makes a folder in which 64-bit Arm Python with LiteRT runs under emulation.
#
#   deploy/tflite/arm64/prepare.sh [FOLDER]     default: ~/.cache/hh_keras/arm64
#   FOLDER/run script.py ...                    about half a minute, 180 MB
#
# Debian's or Ubuntu's own archive gives the emulator, the Arm Python and its libraries;
# PyPI gives the Arm wheels. Nothing is installed outside FOLDER and no root is needed.
# A folder that is complete is left as it is.
set -euo pipefail

root="$(realpath -m "${1:-${XDG_CACHE_HOME:-$HOME/.cache}/hh_keras/arm64}")"
python3="${PYTHON:-python3}"
[ -x "$root/run" ] && { echo "$root is complete"; exit; }
for tool in apt-get dpkg-deb; do
  command -v "$tool" > /dev/null || { echo "error: $tool is needed: use Debian or Ubuntu" >&2; exit 1; }
done

mkdir -p "$(dirname "$root")"
new="$(mktemp -d "$root.new-XXXX")"
trap 'rm -rf "$new"' EXIT

# fetch ARCHITECTURE PACKAGE...: downloads packages and all that they need, beside the
# system's own package state.
fetch() {
  local state="$new/apt/$1" arch="$1"
  shift
  mkdir -p "$state"/{lists,cache/archives/partial}
  touch "$state/status"
  local options=(
    -qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch"
    -o "Dir::State=$state" -o "Dir::State::status=$state/status"
    -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=
    -o Acquire::Languages=none -o "pkgCacheGen::Essential=none"
    -o Debug::NoLocking=true
  )
  apt-get "${options[@]}" update
  apt-get "${options[@]}" install --yes --no-install-recommends --download-only "$@"
}

fetch "$(dpkg --print-architecture)" qemu-user-static
fetch arm64 python3 libstdc++6
for deb in "$new"/apt/*/cache/archives/*.deb; do
  case "$deb" in
    */arm64/*) dpkg-deb --extract "$deb" "$new/root" ;;
    */qemu-user-static_*) dpkg-deb --extract "$deb" "$new/host" ;;
  esac
done
python="$(basename "$(readlink "$new/root/usr/bin/python3")")"
$python3 -m pip --disable-pip-version-check download --quiet --only-binary=:all: --dest "$new/wheels" \
  --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 \
  --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
  --implementation cp --python-version "${python#python}" ai-edge-litert numpy
for wheel in "$new"/wheels/*.whl; do
  $python3 -m zipfile -e "$wheel" "$new/root/site"
done

# LiteRT asks the processor what it can do; without this it would read the host's.
mkdir -p "$new/root/proc"
cat > "$new/root/proc/cpuinfo" <<'CPU'
processor	: 0
BogoMIPS	: 100.00
Features	: fp asimd evtstrm crc32 cpuid
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: 0xd08
CPU revision	: 3
CPU
# An emulated Cortex-A72; what qemu calls "max" computes wrong int8 results.
cat > "$new/run" <<RUN
#!/bin/sh
here="\$(dirname "\$(realpath "\$0")")"
PYTHONHOME= PYTHONPATH="\$here/root/site" exec "\$here/host/usr/bin/qemu-aarch64-static" \\
  -cpu cortex-a72 -L "\$here/root" "\$here/root/usr/bin/$python" "\$@"
RUN
chmod +x "$new/run"
"$new/run" -c 'import ai_edge_litert.interpreter, platform; assert platform.machine() == "aarch64"'
find "$new/host/usr/bin" -type f ! -name qemu-aarch64-static -delete
rm -rf "$new/apt" "$new/wheels" "$new"/{host,root}/usr/share
rm -rf "$root"
mv "$new" "$root"
trap - EXIT
echo "$root is ready"
