#!/bin/bash
# Unpacks packages of a Debian or Ubuntu suite, with everything they depend on, into a folder.
# Nothing is installed on the system and no package's script runs, so no privileges are needed. The mirror and
# its keys are those of this machine's own apt: that the packages are signed is checked as for any install.
#   debian-root.sh SUITE FOLDER PACKAGE...   unpack into FOLDER (made anew; its parent must exist)
#   debian-root.sh --source SUITE            only print the apt source that would be used, or fail in one sentence
set -euo pipefail

DEBIAN_SUITES='sid unstable testing stable oldstable forky trixie bookworm bullseye'

# Every source of this machine, one a line: URI, keyring (or -), then suites and components.
sources() {
  local file
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -r "$file" ] || continue
    awk '
      function flush() { if (uri != "" && types ~ /(^| )deb( |$)/ && enabled != "no") print uri, (key == "" ? "-" : key), suites, components; uri = key = suites = components = types = enabled = "" }
      /^#/ { next }
      /^[[:space:]]*$/ { flush(); next }
      { field = tolower($1); value = $0; sub(/^[^:]*:[[:space:]]*/, "", value) }
      field == "types:" { types = value } field == "uris:" { split(value, many, " "); uri = many[1] }
      field == "suites:" { suites = value } field == "components:" { components = value }
      field == "signed-by:" && value ~ /^\// { key = value } field == "enabled:" { enabled = tolower(value) }
      END { flush() }' "$file"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -r "$file" ] || continue
    awk '
      $1 == "deb" {
        line = $0; key = "-"
        if (match(line, /\[[^]]*\]/)) {
          options = substr(line, RSTART + 1, RLENGTH - 2); line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
          if (match(options, /signed-by=[^ ]+/)) key = substr(options, RSTART + 10, RLENGTH - 10)
        }
        count = split(line, word, " "); rest = ""
        for (i = 3; i <= count; i++) rest = rest " " word[i]
        print word[2], key rest
      }' "$file"
  done
}

# The apt source line for a suite: a source that offers it, or for a Debian suite any source of Debian's.
source_line() {
  local suite=$1 wanted uri key words found
  for wanted in "$suite" $DEBIAN_SUITES; do
    case " $DEBIAN_SUITES " in *" $suite "*) ;; *) [ "$wanted" = "$suite" ] || continue ;; esac
    found=$(sources | awk -v wanted="$wanted" '{ for (i = 3; i <= NF; i++) if ($i == wanted) { print; exit } }')
    [ -n "$found" ] && break
  done
  [ -n "$found" ] || { echo "No apt source of this machine offers $suite: add one to /etc/apt/sources.list.d." >&2; return 1; }
  read -r uri key words <<<"$found"
  if [ "$key" = - ]; then
    case " $DEBIAN_SUITES " in
      *" $suite "*) set -- /usr/share/keyrings/debian-archive-keyring.{pgp,gpg} ;;
      *) set -- /usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
    esac
    for key in "$@"; do [ -r "$key" ] && break; done
  fi
  [ -r "$key" ] || { echo "The keys of $suite are missing ($key): install debian-archive-keyring." >&2; return 1; }
  case " $words " in *' universe '*) words='main universe' ;; *) words=main ;; esac
  echo "deb [signed-by=$key] $uri $suite $words"
}

if [ "${1:-}" = --source ]; then
  source_line "$2"
  exit
fi

suite=$1 folder=$2
shift 2
work=$(mktemp -d "$(dirname "$folder")/.apt-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/lists/partial "$work"/cache/archives/partial
: >"$work"/status
source_line "$suite" >"$work"/sources.list

apt() {
  apt-get -q -o Dir::Etc::sourcelist="$work"/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o Dir::State::lists="$work"/lists -o Dir::Cache="$work"/cache -o Dir::State::status="$work"/status \
    -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Install-Recommends=false -o APT::Sandbox::User= \
    "$@" >"$work"/log 2>&1 && ! grep -q '^E:' "$work"/log && return
  # A mirror's address may carry a password.
  grep -E '^(E|W|Err):?' "$work"/log | tail -5 | sed -E 's#//[^/@ ]*@#//#g' >&2
  return 1
}
apt update
apt install -y --download-only "$@"

rm -rf "$folder"
mkdir -p "$folder"
# base-files first: it makes /bin, /lib and /sbin the links that other packages unpack through.
for package in "$work"/cache/archives/base-files_*.deb "$work"/cache/archives/*.deb; do
  [ -e "$package" ] || continue
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder" --keep-directory-symlink --no-same-owner
done
rm -rf "$folder"/usr/share/{doc,man,locale}
