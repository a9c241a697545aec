# The program of a bash session (BashDriver.ts writes the lines that call it). bash reads its script from a pipe, so no
# loop and no function encloses a command: `break`, `return`, `declare` and `trap` mean what they mean at top level. Loaded
# by the first line of that pipe, and by BASH_ENV when the shell executed itself again after `exit`. Needs bash 4.4.
#
# What users do must not reach this file: builtins are called as `builtin`, expansions are quoted, aliases are off while
# the host's lines are read, and the functions here are read-only. It never writes to a command's output, but for the
# reason why a command was not run.

{
  builtin unset -v BASH_ENV POSIXLY_CORRECT
  builtin set +aeuxvt
  # A line of the host must not be read with the user's aliases. They are on while a command's text is read.
  builtin shopt -u expand_aliases
} 2>/dev/null
__reprise_dir=${BASH_SOURCE[0]%/*} __reprise_shell=$BASH __reprise_start=start
__reprise_aliases=1 __reprise_allexport= __reprise_user_exit= __reprise_user_err= __reprise_code=0 __reprise_value=
IFS=$' \t\n'

# Left by __reprise_again: in this same process, or it does nothing.
if [[ -s $__reprise_dir/snapshot ]]; then
  builtin . "$__reprise_dir/snapshot" </dev/null >/dev/null 2>&1
  builtin set +aeuxvt
  # It holds every variable, so it must not stay. Emptied first: there may be no rm and no room for a process.
  : >|"$__reprise_dir/snapshot"
  builtin command -p rm -f -- "$__reprise_dir/snapshot" </dev/null >/dev/null 2>&1
  builtin shopt -u expand_aliases
  __reprise_user_exit=
fi
__reprise_exec= __reprise_mark= __reprise_how= __reprise_outcome=completed __reprise_from= __reprise_undo=()
BASH_ARGV0=bash

if [[ $__reprise_start == start ]]; then
  # Before a command: its number, the file with its text, and its mark.
  __reprise_begin() {
    __reprise_src=$2 __reprise_mark=${3-} __reprise_how= __reprise_outcome=completed __reprise_err= __reprise_exec=$1
    if [[ $__reprise_aliases ]]; then builtin shopt -s expand_aliases; fi
  }

  # The directory of this command only.
  __reprise_cd() {
    __reprise_oldpwd=${OLDPWD-} __reprise_pwd=$PWD
    if builtin cd -- "$1" 2>/dev/null; then
      __reprise_from=$__reprise_pwd
      builtin return 0
    fi
    __reprise_outcome=refused
    builtin printf 'the command was not run: %s is not a directory that can be entered\n' "$1" >&2
    builtin return 1
  }

  # A variable of this command only.
  __reprise_put() {
    local __reprise_all="$1[@]" __reprise_kind=${!1@a}
    if [[ $__reprise_kind == *r* ]]; then
      __reprise_outcome=refused
      builtin printf 'the command was not run: the variable %s is read-only\n' "$1" >&2
      builtin return 1
    fi
    if [[ $__reprise_kind == *[aA]* ]]; then
      # Not through `declare`: it is an ordinary word after `builtin`, and takes no array.
      __reprise_all=${!__reprise_all@A}
      __reprise_undo+=("$1" "builtin declare -g -$__reprise_kind $1; $1=${__reprise_all#*=}")
    elif [[ -v $1 ]]; then
      __reprise_undo+=("$1" "builtin declare -g ${__reprise_kind:+-$__reprise_kind} $1=${!1@Q}")
    else
      __reprise_undo+=("$1" "")
    fi
    builtin unset -v "$1"
    builtin export "$1=$2"
  }

  # Directory and variables of the command go back to what they were.
  __reprise_restore() {
    local __reprise_i
    for ((__reprise_i = ${#__reprise_undo[@]} - 2; __reprise_i >= 0; __reprise_i -= 2)); do
      builtin unset -v "${__reprise_undo[__reprise_i]}"
      if [[ ${__reprise_undo[__reprise_i + 1]} ]]; then
        builtin eval "${__reprise_undo[__reprise_i + 1]}"
      fi
    done 2>/dev/null
    __reprise_undo=()
    if [[ $__reprise_from ]]; then
      builtin cd -- "$__reprise_from" 2>/dev/null
      OLDPWD=$__reprise_oldpwd __reprise_from=
    fi
  }

  # The last thing before a command's text: `$?` is what the command before it left.
  __reprise_last() {
    builtin trap "$__reprise_return" RETURN
    if [[ $__reprise_user_err ]]; then builtin eval "builtin $__reprise_user_err"; fi
    if [[ $__reprise_allexport ]]; then builtin set -a; fi
    builtin return "$__reprise_code"
  }
  # What a builtin prints is had through a file: a fork for `$(...)` costs more than everything else here. Written over
  # (`<>`) up to a NUL, and not cut off (`>|`): ext4 puts a file that was emptied and written on the disk when it is closed.
  # By way of 0, for `declare -f`, from which the functions come back after `exit`, prints `1<>` as `<>`.

  # Runs when a command's text has ended: sourcing would report a failed last command to the user's ERR trap once more.
  # Under the options of the command: nothing in it may fail, and what `set -x` says of it is no output of the command.
  __reprise_return='{ if ((${#BASH_SOURCE[@]} < 2)); then builtin trap - DEBUG; { builtin trap -p ERR; builtin printf "\0"; } 0<>"$__reprise_dir/traps" 1>&0; IFS= builtin read -r -d "" __reprise_user_err <"$__reprise_dir/traps" || :; builtin trap - ERR; fi; } >/dev/null 2>&1'

  # What parseState reads, and the end; straight into the pipe: a fork for `$(...)` costs more than everything else here.
  __reprise_frames() { # exec, exit code, status
    # PWD is a variable as any other. Where the directory is gone, `cd` only makes its name longer.
    if [[ ! $PWD -ef . ]]; then
      __reprise_here=$PWD
      builtin cd -P . 2>/dev/null
      if [[ ! $PWD -ef . ]]; then builtin printf -v PWD %s "$__reprise_here" 2>/dev/null; fi
    fi
    {
      builtin printf 'state:1\0%q\n' "$PWD"
      builtin export -p
      builtin alias -p
      # Each line is a write that wakes the host: our own functions would be most of them.
      if builtin compgen -A function -X '__reprise_*' >/dev/null; then
        { builtin compgen -A function -X '__reprise_*'; builtin printf '\0'; } 0<>"$__reprise_dir/names" 1>&0
        IFS=$'\n' builtin read -r -d '' -a __reprise_names <"$__reprise_dir/names"
        builtin printf 'declare -f'
        builtin printf ' %s' "${__reprise_names[@]}"
        builtin printf '\n'
        builtin declare -f -- "${__reprise_names[@]}"
        __reprise_names=()
      fi
      builtin printf '\0end:6\0%s\0%s\0%s\0%s\0%s\0%s\0' "$1" "$2" "$3" "$PWD" "${__reprise_value:+1}" "${__reprise_value%$'\n'}"
    } >|"$__reprise_dir/control"
    __reprise_value=
  }

  # For the programs of `restore`: a line for each thing that could not be brought back.
  __reprise_failed() { __reprise_value+=$1$'\n'; }

  # A function named `builtin` or `exec` lasts for one command: everything here depends on them. In POSIX mode, which an
  # assignment switches on, no function can stand before `unset`.
  __reprise_check() {
    __reprise_ok=
    builtin eval __reprise_ok=1
    if [[ ! $__reprise_ok ]]; then
      POSIXLY_CORRECT=1
      \unset -f builtin
      builtin unset -v POSIXLY_CORRECT
    fi
    builtin unset -f exec
  } 2>/dev/null

  # Options that would act on us; allexport must be off before anything is assigned.
  __reprise_options() {
    case $- in
      *a*)
        builtin set +aeuxvt
        builtin export -n "${!__reprise_@}"
        __reprise_allexport=1
        ;;
      *) builtin set +euxvt; __reprise_allexport= ;;
    esac
    if [[ $BASHOPTS == *expand_aliases* ]]; then __reprise_aliases=1; else __reprise_aliases=; fi
    builtin shopt -u expand_aliases
  }

  # After a command: its number and its exit code.
  __reprise_end() {
    __reprise_check
    __reprise_options
    __reprise_exec= __reprise_code=$2
    # Also the test whether the host is there: once the terminal was hung up nobody comes back to this shell. And who
    # closed every descriptor closed those that were to be put back.
    exec 0<>/dev/tty 1>&0 2>&0 || __reprise_die
    __reprise_rearm
    __reprise_restore
    if [[ $__reprise_mark ]]; then builtin printf '\e]633;D;%s\a' "$__reprise_mark"; fi
    __reprise_frames "$1" "$2" "$__reprise_outcome"
  }

  __reprise_arm() {
    builtin trap '__reprise_leave "$?"' EXIT
    builtin trap '__reprise_how=hangup; builtin exit 129' HUP
    builtin trap 'if [[ $__reprise_exec ]]; then __reprise_how=interrupted; builtin exit 130; fi' INT
    builtin trap 'if [[ $__reprise_exec ]]; then builtin exit 131; fi' QUIT
    builtin trap 'builtin exit 143' TERM
  }

  # The user's EXIT trap is kept as text and ours takes its place; the others are the user's where he set one.
  __reprise_rearm() {
    local __reprise_text __reprise_name
    { builtin trap -p EXIT HUP INT QUIT TERM; builtin printf '\0'; } 0<>"$__reprise_dir/traps" 1>&0
    IFS= builtin read -r -d '' __reprise_text <"$__reprise_dir/traps"
    if [[ $__reprise_text == "$__reprise_traps" ]]; then builtin return; fi
    builtin trap -p EXIT >|"$__reprise_dir/traps"
    IFS= builtin read -r -d '' __reprise_name <"$__reprise_dir/traps"
    if [[ $__reprise_name != *__reprise_leave* ]]; then __reprise_user_exit=$__reprise_name; fi
    # What was reset gets ours again; what the user set comes after it.
    __reprise_arm
    builtin eval "${__reprise_text#"$__reprise_name"}"
  } 2>/dev/null

  __reprise_die() {
    builtin trap - EXIT
    builtin exit "${1-$__reprise_code}"
  }

  # The EXIT trap: after `exit`, a failed `set -e` or `set -u`, a signal, and at the end of the command pipe. A command ends
  # here with its state kept; a shell that runs none, or whose terminal was hung up, really exits.
  __reprise_leave() {
    # A child that was just forked may get a signal before it forgot our traps. It must not read the command pipe.
    [[ $BASHPID == "$$" ]] || builtin exit "$1"
    __reprise_check
    __reprise_options
    if [[ ! $__reprise_exec || $__reprise_how == hangup ]]; then __reprise_die "$1"; fi
    { : <>/dev/tty || __reprise_die "$1"; } 2>/dev/null
    __reprise_code=$1
    # The user's EXIT trap runs now: for the user, the shell ended. It may call `exit`, which would be the last of us.
    if [[ $__reprise_user_exit ]]; then
      builtin eval "builtin set -- ${__reprise_user_exit#trap -- }"
      __reprise_user_exit=
      exit() {
        [[ $BASHPID == "$$" ]] || builtin exit "$@"
        __reprise_code=${1-$__reprise_code}
        __reprise_again
      }
      __reprise_status
      builtin eval "$1"
    fi
    __reprise_again
  }

  __reprise_status() { builtin return "$__reprise_code"; }

  __reprise_in_function() {
    local __reprise_name
    for __reprise_name in "${FUNCNAME[@]}"; do
      case $__reprise_name in __reprise_* | source | main | exit) ;; *) builtin return 0 ;; esac
    done
    builtin return 1
  }

  # `exit` in a function: `declare -p` would show its local variables. Unsetting one shows what it hides, so the last that
  # is found is the global one. A local variable that hides nothing becomes global.
  __reprise_globals() {
    local __reprise_name __reprise_kind __reprise_text __reprise_all
    builtin compgen -v >|"$__reprise_dir/traps"
    builtin mapfile -t __reprise_names <"$__reprise_dir/traps"
    for __reprise_name in "${__reprise_names[@]}"; do
      case $__reprise_name in
        __reprise_* | BASH* | EUID | UID | PPID | SHELLOPTS | DIRSTACK | FUNCNAME | GROUPS | LINENO | RANDOM | SRANDOM) continue ;;
        SECONDS | EPOCH* | COMP_* | HISTCMD | PIPESTATUS | _) continue ;;
      esac
      if [[ -R $__reprise_name || ${!__reprise_name@a} == *r* ]]; then
        builtin declare -p "$__reprise_name"
        continue
      fi
      while builtin declare -p "$__reprise_name" >/dev/null 2>&1; do
        __reprise_kind=${!__reprise_name@a} __reprise_all="$__reprise_name[@]"
        if [[ $__reprise_kind == *[aA]* ]]; then
          __reprise_text=${!__reprise_all@A}
          __reprise_text="declare -$__reprise_kind $__reprise_name=${__reprise_text#*=}"
        elif [[ -v $__reprise_name ]]; then
          __reprise_text="declare ${__reprise_kind:+-$__reprise_kind} $__reprise_name=${!__reprise_name@Q}"
        else
          __reprise_text="declare ${__reprise_kind:+-$__reprise_kind} $__reprise_name"
        fi
        builtin unset -v "$__reprise_name" || builtin break
      done
      builtin printf '%s\n' "$__reprise_text"
    done
  }

  # Writes down what a shell knows and executes the shell again in this process: its children stay its children.
  __reprise_again() {
    builtin unset -f exit
    builtin trap - DEBUG RETURN
    exec 0<>/dev/tty 1>&0 2>&0 || __reprise_die
    __reprise_restore
    if [[ $__reprise_mark ]]; then builtin printf '\e]633;D;%s\a' "$__reprise_mark"; fi
    builtin umask -p >|"$__reprise_dir/traps"
    IFS= builtin read -r -d '' __reprise_umask <"$__reprise_dir/traps"
    builtin umask 077
    {
      builtin printf '[[ $$ == %s ]] || builtin return 0\n' "$$"
      builtin shopt -p
      builtin shopt -u localvar_unset
      builtin printf '%s\n' "$__reprise_umask"
      builtin printf 'builtin cd -- %q\n' "$PWD"
      builtin declare -f
      builtin declare -F
      if __reprise_in_function; then __reprise_globals; else builtin declare -p; fi
      builtin alias -p
      builtin trap -p
      builtin printf '__reprise_start=again\n'
      builtin set +o
    } >|"$__reprise_dir/snapshot"
    # What is ignored stays ignored in the next program and could never be trapped there.
    builtin trap : HUP INT QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 PIPE ALRM TERM CHLD CONT TSTP TTIN TTOU URG XCPU \
      XFSZ VTALRM PROF WINCH IO SYS
    __reprise_how=${__reprise_how:-exited}
    __reprise_frames "$__reprise_exec" "$__reprise_code" "$__reprise_how"
    builtin export -n SHELLOPTS BASHOPTS
    builtin unset -v POSIXLY_CORRECT
    BASH_ENV=$__reprise_dir/driver exec "$__reprise_shell" --norc --noprofile "$__reprise_dir/command"
  } 2>/dev/null

  builtin readonly -f __reprise_begin __reprise_cd __reprise_put __reprise_restore __reprise_last __reprise_frames \
    __reprise_failed __reprise_check __reprise_options __reprise_end __reprise_arm __reprise_rearm __reprise_die \
    __reprise_leave __reprise_status __reprise_in_function __reprise_globals __reprise_again
fi

__reprise_arm
builtin trap - DEBUG RETURN
builtin trap -p EXIT HUP INT QUIT TERM >|"$__reprise_dir/traps"
IFS= builtin read -r -d '' __reprise_traps <"$__reprise_dir/traps"
builtin printf 'ready:2\0%s\0%s\0' "$$" "$__reprise_start" >|"$__reprise_dir/control"
