#!/bin/bash
# Installs the Debian packages that lie in the working directory into this system and tries what they promise. It is meant for a
# root that can be thrown away: tests/minimal-root.sh calls it. Each step prints "ok WHAT"; the first that fails ends it.
# shellcheck disable=SC2016 # what the shells of single steps expand
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

step() { # WHAT COMMAND...
    what=$1
    shift
    "$@" >/tmp/step.log 2>&1 || {
        echo "FAILED $what: $*"
        tail -20 /tmp/step.log
        exit 1
    }
    echo "ok $what"
}

answers() { # PATTERN COMMAND...: its output holds the pattern
    pattern=$1
    shift
    "$@" >/tmp/answer 2>&1 || true
    cat /tmp/answer
    grep -q -e "$pattern" /tmp/answer
}

install() {
    apt-get install -y -q --no-install-recommends "$@"
}

# What they depend on comes with them, and nothing else is there: a tool that needs more fails here.
step "apt-get update" apt-get update -q
step "tm-run installs alone" install ./tm-run_*.deb
step "the tracer needs libc alone" sh -c '! dpkg-query -W libdw1 2>/dev/null'
step "LD_PRELOAD=libtm.so" answers '/libtm\.so' env LD_PRELOAD=libtm.so TRACEMALLOC=5 cat /proc/self/maps
step "nothing is said about it" sh -c '[ -z "$(LD_PRELOAD=libtm.so sh -c : 2>&1)" ]'
step "tm-run" answers 'libtm\.so' tm-run -n 5 -- cat /proc/self/maps

step "coreanalyze installs" install ./coreanalyze_*.deb
tm-run -o detail=1 -- sleep 1000 &
process=$!
trap 'kill $process' EXIT
while ! grep -q sleep "/proc/$process/comm"; do :; done
step "coreanalyze --pid" answers 'coverage: [1-9][0-9]* blocks, 0 dropped' coreanalyze top --pid "$process"
step "coreanalyze save" coreanalyze save --pid "$process" /tmp/now.pb.gz
step "coreanalyze of a snapshot file" answers 'Total allocated size: ' coreanalyze top /tmp/now.pb.gz
case $(cat /proc/sys/kernel/core_pattern) in
*/* | '|'*) echo "not tried: the kernel writes no core files here" ;;
*)
    mkdir /tmp/crash
    (cd /tmp/crash && ulimit -c unlimited && tm-run -- sh -c 'kill -SEGV $$') 2>/dev/null || true
    mv /tmp/crash/core* /tmp/core
    step "coreanalyze CORE" answers 'SIGSEGV' coreanalyze /tmp/core
    ;;
esac

step "gdb installs" install gdb
step "GDB has the commands as soon as libtm.so is there" answers 'coverage: [1-9][0-9]* blocks' \
    gdb -q -nx -batch -p "$process" -ex 'tm-top 1'
step "GDB has the same answer as coreanalyze" sh -c '
    gdb -q -nx -batch -p '"$process"' -ex "tm-top -format json -o /tmp/gdb.json" &&
        coreanalyze top --format json -o /tmp/command.json --pid '"$process"' && cmp /tmp/gdb.json /tmp/command.json'
step "GDB loads them on demand" answers 'tm-top\|tm top' gdb -q -nx -batch -ex 'source /usr/share/tm/gdb/tm-gdb.py' -ex 'help tm'

step "man and bash-completion install" install man-db bash-completion ./libtm-dev_*.deb
for page in coreanalyze tm-run tm tm-gdb tm_get_object_traceback; do
    step "man $page" answers 'tm 0\.' man --no-hyphenation "$page"
done
cat >/tmp/complete.bash <<'END'
. /usr/share/bash-completion/bash_completion
complete_words() { # the last one is completed
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMPREPLY=()
    COMP_POINT=${#COMP_LINE}
    _completion_loader "$1"
    "_${1//-/_}" "$1" "${@: -1}" "${@: -2:1}"
    printf '%s\n' "${COMPREPLY[@]}"
}
complete_words coreanalyze to
complete_words coreanalyze top --by trace
complete_words tm-run -o det
END
step "completion" answers 'detail=' bash /tmp/complete.bash
step "completion of values" answers '^traceback' bash /tmp/complete.bash

step "a compiler and pkg-config install" install gcc libc6-dev pkg-config
cat >/tmp/calls.c <<'END'
#include <tm.h>
int main(void)
{
    tm_start(25);
    return tm_is_tracing() ? 7 : 8;
}
END
step "pkg-config" sh -ec 'gcc -o /tmp/calls /tmp/calls.c $(pkg-config --cflags --libs tm)'
step "the program is traced" sh -c '/tmp/calls; [ $? = 7 ]'
step "pkg-config --static" sh -ec 'gcc -static -o /tmp/static /tmp/calls.c $(pkg-config --cflags --static --libs tm)'
step "the static program is traced" sh -c '/tmp/static; [ $? = 7 ]'

step "everything goes again" apt-get purge -y -q tm-run coreanalyze libtm-dev
step "nothing is left" sh -c '[ ! -e /usr/share/tm ] && [ ! -e /usr/bin/tm-run ]'
echo "all ok"
