"""`gatelab completion`: the script for a shell, which asks `gatelab --complete LINE` for words."""

from gatelab.process.output import say

BASH = r"""_gatelab() {
    local line="${COMP_LINE:0:COMP_POINT}" word IFS=$'\n'
    COMPREPLY=($(gatelab --complete "$line" 2>/dev/null))
    word="${line##* }"
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then  # bash takes what stands before = for a word of its own
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    fi
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace
}
complete -o default -F _gatelab gatelab
"""
ZSH = r"""#compdef gatelab
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_gatelab() {
    local -a found unfinished
    found=(${(f)"$(gatelab --complete "$LBUFFER" 2>/dev/null)"})
    unfinished=(${(M)found:#*[=.]}) found=(${found:#*[=.]})
    (( $#found )) && compadd -Q -- $found
    (( $#unfinished )) && compadd -Q -S '' -- $unfinished
    (( $#found + $#unfinished )) || _files
}
compdef _gatelab gatelab
"""
FISH = "complete -c gatelab -a '(gatelab --complete (commandline -cp) 2>/dev/null)'\n"
SCRIPTS = {"bash": BASH, "fish": FISH, "zsh": ZSH}


def run(shell: str) -> int:
    """Prints the script."""
    say(SCRIPTS[shell].rstrip("\n"))
    return 0
