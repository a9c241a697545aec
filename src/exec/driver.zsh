# The program of a zsh session (ZshDriver.ts writes the lines it reads). zsh runs this file as its script; its last line
# sources the command pipe, so no loop and no function encloses a command: `return`, `typeset` and `trap` mean what they mean
# at top level. After `exit` the shell executes itself again in place, with this file.
#
# What users do must not reach this file: builtins are called as `builtin`, functions that depend on options set them
# (`emulate -L`), aliases are off while the host's lines are read. It never writes to a command's output, but for the reason
# why a command was not run.

{
  builtin unsetopt aliases errexit errreturn xtrace verbose allexport
  builtin setopt unset
} 2>/dev/null
__reprise_dir=${0:h} __reprise_start=start
__reprise_aliases=1 __reprise_allexport= __reprise_user_exit= __reprise_code=0 __reprise_value=
# The name that errors begin with; ours says nothing to anyone.
0=zsh
builtin zmodload zsh/parameter zsh/system 2>/dev/null
# The program given on the command line, wherever PATH points later.
if [[ $1 == /* ]]; then __reprise_shell=$1; else __reprise_shell=${commands[$1]:-$1}; fi
builtin set --
# As in a shell that a person types into, minus what acts on history.
builtin setopt interactivecomments nohup nocheckjobs 2>/dev/null

# Left by __reprise_again: in this same process, or it does nothing.
if [[ -s $__reprise_dir/snapshot ]]; then
  builtin source $__reprise_dir/snapshot </dev/null >/dev/null 2>&1
  # It holds every variable, so it must not stay. Emptied first: there may be no rm and no room for a process.
  : >|$__reprise_dir/snapshot
  builtin command -p rm -f -- $__reprise_dir/snapshot </dev/null >/dev/null 2>&1
fi
__reprise_exec= __reprise_mark= __reprise_how= __reprise_outcome=completed __reprise_from= __reprise_undo=

# Before a command: its number and its mark.
__reprise_begin() {
  __reprise_mark=$2 __reprise_how= __reprise_outcome=completed __reprise_exec=$1
  if [[ -n $__reprise_aliases ]]; then builtin setopt aliases; fi
}

# The directory of this command only.
__reprise_cd() {
  builtin emulate -L zsh
  __reprise_oldpwd=${OLDPWD-} __reprise_pwd=$PWD
  if builtin cd -q -- "$1" 2>/dev/null; then
    __reprise_from=$__reprise_pwd
    builtin return 0
  fi
  __reprise_outcome=refused
  builtin printf 'the command was not run: %s is not a directory that can be entered\n' "$1" >&2
  builtin return 1
}

# A variable of this command only. What it was is kept as a program.
__reprise_put() {
  builtin emulate -L zsh
  local __reprise__kind=${(Pt)1}
  if [[ $__reprise__kind == *readonly* ]]; then
    __reprise_outcome=refused
    builtin printf 'the command was not run: the variable %s is read-only\n' "$1" >&2
    builtin return 1
  fi
  if [[ $__reprise__kind == *special* ]]; then
    # Unset, PATH and its like would lose what they are.
    local __reprise__was=${(P)1}
    __reprise_undo="$1=${(qqqq)__reprise__was}"$'\n'"$__reprise_undo"
    [[ $__reprise__kind == *export* ]] || __reprise_undo="builtin typeset -g +x $1"$'\n'"$__reprise_undo"
  elif [[ -n $__reprise__kind ]]; then
    __reprise_undo="builtin unset $1; $(builtin typeset -p -- $1)"$'\n'"$__reprise_undo"
    builtin unset -- "$1"
  else
    __reprise_undo="builtin unset $1"$'\n'"$__reprise_undo"
  fi
  builtin typeset -gx -- "$1=$2"
}

# Directory and variables of the command go back to what they were.
__reprise_restore() {
  builtin emulate -L zsh
  local __reprise__undo=$__reprise_undo
  __reprise_undo=
  [[ -z $__reprise__undo ]] || builtin eval "$__reprise__undo" 2>/dev/null
  if [[ -n $__reprise_from ]]; then
    # `cd -` goes to where the shell was, whatever OLDPWD says.
    builtin cd -q -- "$__reprise_oldpwd" 2>/dev/null
    builtin cd -q -- "$__reprise_from" 2>/dev/null
    __reprise_from=
  fi
}

# The last thing before a command's text: `$?` is what the command before it left.
__reprise_last() {
  if [[ -n $__reprise_allexport ]]; then builtin setopt allexport; fi
  builtin return $__reprise_code
}

# For the programs of `restore`: a line for each thing that could not be brought back.
__reprise_failed() { __reprise_value+=$1$'\n'; }

# What parseState reads, and the end; straight into the pipe: a fork costs more than everything else here.
__reprise_frames() { # exec, exit code, status
  builtin emulate -L zsh
  # Here they are local. What the user's would print must not get among the frames.
  builtin trap - DEBUG ZERR
  local -a __reprise__names
  {
    builtin printf 'state:1\0%s\n' "${(qqqq)PWD}"
    builtin typeset -px
    builtin alias -L
    # Names and functions in the same order: in each text the next name is looked for.
    __reprise__names=(${(k)functions})
    builtin printf '__reprise_function %s\n' "${(@qqqq)__reprise__names}"
    builtin typeset -f -- $__reprise__names
    builtin printf '\0end:6\0%s\0%s\0%s\0%s\0%s\0%s\0' "$1" "$2" "$3" "$PWD" "${__reprise_value:+1}" \
      "${__reprise_value%$'\n'}"
  } >|$__reprise_dir/control
  __reprise_value=
}

# Options that would act on us; allexport must be off before anything is assigned.
__reprise_options() {
  if [[ -o allexport ]]; then
    builtin unsetopt allexport
    builtin typeset -g +x -m '__reprise_*'
    __reprise_allexport=1
  else
    __reprise_allexport=
  fi
  builtin unsetopt errexit errreturn xtrace verbose singlecommand
  builtin setopt unset
  if [[ -o aliases ]]; then __reprise_aliases=1; else __reprise_aliases=; fi
  builtin unsetopt aliases
} 2>/dev/null

# After a command: its exit code.
__reprise_keep() {
  # It runs in functions too, so in ours: one of the user's lasts for one command.
  builtin trap - DEBUG
  __reprise_options
  __reprise_exec= __reprise_code=$1
}

# Then, with the list of traps in the file `traps` (within a function it would lack EXIT), its number.
__reprise_end() {
  # Also the test whether the host is there: once the terminal was hung up nobody comes back to this shell.
  exec 0<>/dev/tty 1>&0 2>&0 || __reprise_die
  __reprise_rearm
  __reprise_restore
  if [[ -n $__reprise_mark ]]; then builtin printf '\e]633;D;%s\a' "$__reprise_mark"; fi
  __reprise_frames "$1" "$__reprise_code" "$__reprise_outcome"
}

__reprise_arm_others() {
  builtin emulate -L zsh
  builtin setopt nolocaltraps
  builtin trap '__reprise_how=hangup; builtin exit 129' HUP
  builtin trap 'if [[ -n $__reprise_exec ]]; then __reprise_how=interrupted; builtin exit 130; fi' INT
  builtin trap 'if [[ -n $__reprise_exec ]]; then builtin exit 131; fi' QUIT
  builtin trap 'builtin exit 143' TERM
}

# The user's EXIT trap is kept as text and ours takes its place; the others are the user's where he set one.
__reprise_rearm() {
  builtin emulate -L zsh
  builtin setopt nolocaltraps
  local __reprise__text
  IFS= builtin read -r -d '' __reprise__text <$__reprise_dir/traps
  [[ $__reprise__text != "$__reprise_traps" ]] || builtin return
  if [[ $__reprise__text != *"__reprise_leave"* ]]; then
    if [[ $__reprise__text == *$'\' EXIT\n'* ]]; then
      __reprise_user_exit=${__reprise__text%%$'\' EXIT\n'*}\'
    else
      __reprise_user_exit=
    fi
  fi
  # What was reset gets ours again; what the user set comes after it.
  local -a __reprise__mine
  local __reprise__name
  for __reprise__name in HUP INT QUIT TERM; do
    if [[ $__reprise__text != *\'\ $__reprise__name$'\n'* ]] && (( ! ${+functions[TRAP$__reprise__name]} )); then __reprise__mine+=$__reprise__name; fi
  done
  if (( $#__reprise__mine == 4 )); then __reprise_arm_others; fi
}

__reprise_die() {
  builtin trap - EXIT
  builtin exit ${1-$__reprise_code}
}

# The EXIT trap: after `exit`, a failed `set -e`, a signal, and at the end of the command pipe. A command ends here with its
# state kept; a shell that runs none, or whose terminal was hung up, really exits.
__reprise_leave() {
  # A child that was just forked may get a signal before it forgot our traps. It must not read the command pipe.
  if (( ZSH_SUBSHELL )) || [[ ${sysparams[pid]-$$} != $$ ]]; then
    builtin exit $1
    builtin return $1
  fi
  builtin trap - DEBUG
  __reprise_options
  # Before they are ours for the rest of this shell's life.
  builtin typeset -gA __reprise_set
  __reprise_set=("${(@kv)options[@]}")
  builtin emulate -L zsh
  builtin setopt nolocaltraps nomonitor 2>/dev/null
  # `exit` in a trap ends the functions one by one: what follows it here would still run.
  if [[ -z $__reprise_exec || $__reprise_how == hangup ]] || ! { : <>/dev/tty } 2>/dev/null; then
    builtin exit $1
    builtin return $1
  fi
  __reprise_code=$1
  # The user's EXIT trap runs now: for the user, the shell ended. It may call `exit`, which would be the last of us.
  if [[ -n $__reprise_user_exit ]]; then
    builtin eval "builtin set -- ${__reprise_user_exit#*-- }"
    __reprise_user_exit=
    exit() {
      if (( ZSH_SUBSHELL )); then builtin exit "$@"; fi
      __reprise_code=${1-$__reprise_code}
      __reprise_again
    }
    __reprise_status
    builtin eval "$1"
  fi
  __reprise_again
}

__reprise_status() { builtin return $__reprise_code; }

# Writes down what a shell knows and executes the shell again in this process: its children stay its children.
__reprise_again() {
  builtin emulate -L zsh
  builtin setopt nolocaltraps
  builtin unfunction exit exec 2>/dev/null
  exec 0<>/dev/tty 1>&0 2>&0 || __reprise_die
  __reprise_restore
  if [[ -n $__reprise_mark ]]; then builtin printf '\e]633;D;%s\a' "$__reprise_mark"; fi
  local __reprise__name __reprise__kind
  local -a __reprise__plain __reprise__special
  local __reprise__later=
  for __reprise__name __reprise__kind in "${(@kv)__reprise_set[@]}"; do
    case $__reprise__name in
      errexit|errreturn|xtrace|verbose|exec|singlecommand|unset|interactive|shinstdin|login|zle|privileged) ;;
      restricted|aliases|allexport|rcs|globalrcs) ;;
      *)
        if [[ $__reprise__kind == on ]]; then __reprise__later+="builtin setopt $__reprise__name"$'\n'
        else __reprise__later+="builtin unsetopt $__reprise__name"$'\n'; fi
        ;;
    esac
  done
  builtin umask >|$__reprise_dir/traps
  builtin read -r __reprise__name <$__reprise_dir/traps
  builtin umask 077
  {
    builtin printf '[[ $$ == %s ]] || builtin return 0\n__reprise_start=again\n' $$
    # In this order: `cd -` goes to where the shell was, whatever OLDPWD says.
    builtin printf 'builtin umask %s\nbuiltin cd -q -- %s\nbuiltin cd -q -- %s\n' "$__reprise__name" \
      "${(qqqq)OLDPWD:-$PWD}" "${(qqqq)PWD}"
    builtin trap
    builtin typeset -f
    builtin alias -L
    # The rest of this file is read after it: they come last.
    builtin printf '__reprise_later=%s\n' "${(qqqq)__reprise__later}"
    for __reprise__name __reprise__kind in "${(@kv)parameters[@]}"; do
      # What the shell keeps by itself, what other functions hide, and ours.
      case $__reprise__kind in *local*|*hideval*) continue ;; esac
      case $__reprise__name in
        _|__reprise_dir|__reprise_later|__reprise_set|__reprise_shell|__reprise_start|0|argv|status|PPID|UID|EUID|GID|EGID|USERNAME|LINENO) continue ;;
        TTYIDLE|PWD|MATCH|match) continue ;;
      esac
      case $__reprise__kind in
        *special*) if [[ $__reprise__kind != *readonly* ]]; then __reprise__special+=$__reprise__name; fi ;;
        *) __reprise__plain+=$__reprise__name ;;
      esac
    done
    if (( $#__reprise__plain )); then builtin typeset -p -- $__reprise__plain; fi
    # Last: one that cannot be set ends the reading of this file.
    if (( $#__reprise__special )); then builtin typeset -p -- $__reprise__special; fi
  } >|$__reprise_dir/snapshot
  # What is ignored stays ignored in the next program and could never be trapped there.
  for __reprise__name in ${signals[2,-3]}; do builtin trap : $__reprise__name 2>/dev/null; done
  __reprise_how=${__reprise_how:-exited}
  __reprise_frames "$__reprise_exec" "$__reprise_code" "$__reprise_how"
  builtin trap - EXIT
  exec $__reprise_shell -f $__reprise_dir/driver $__reprise_shell
} 2>/dev/null

builtin trap '__reprise_leave $?' EXIT
__reprise_arm_others
builtin trap >|$__reprise_dir/traps
IFS= builtin read -r -d '' __reprise_traps <$__reprise_dir/traps
builtin printf 'ready:2\0%s\0%s\0' $$ $__reprise_start >|$__reprise_dir/control
builtin eval "${__reprise_later-}" 2>/dev/null
__reprise_later=
builtin source $__reprise_dir/command
