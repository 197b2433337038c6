# What argp prints for --help of tm-run, as `coreanalyze help --list` has options: lines of tab-separated fields
#     option NUMBER NAME -LETTER --NAME ARGUMENT WORDS TEXT
# and, of the keys that an option takes,  key KEY= WORDS  with the words that may follow, where they are named.
function flush_option() {
    if (long != "") {
        printf "option\t%d\t%s\t%s\t%s\t%s\t\t%s\n", ++number, program, short, long, argument, text
    }
    long = ""
}

/^ +(-., )?--[a-z]/ {
    flush_option()
    short = $1 ~ /^-.,$/ ? substr($1, 1, 2) : ""
    long = short == "" ? $1 : $2
    argument = ""
    if (index(long, "=")) {
        argument = substr(long, index(long, "=") + 1)
        long = substr(long, 1, index(long, "=") - 1)
    }
    text = $0
    sub(/^ +(-., )?--[^ ]+ */, "", text)
    next
}

long != "" && /^                    / {
    sub(/^ +/, "")
    text = text " " $0
    next
}

{ flush_option() }

/^  [a-z]+=[^ ]/ {
    key = substr($1, 1, index($1, "="))
    words = substr($1, length(key) + 1)
    gsub(/[|]/, " ", words)
    printf "key\t%s\t%s\n", key, words ~ /^[a-z0-9 ]+$/ ? words : ""
}

END { flush_option() }
