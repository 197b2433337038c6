# CHANGELOG.md as a Debian changelog: -v maintainer="NAME <ADDRESS>" -v date="DATE", of every entry.
function flush_item(words, count, i, line) {
    count = split(item, words, " ")
    line = "  *"
    for (i = 1; i <= count; i++) {
        if (length(line) + 1 + length(words[i]) > 78) {
            print line
            line = "   "
        }
        line = line " " words[i]
    }
    if (count) {
        print line
    }
    item = ""
}

function end_entry() {
    flush_item()
    if (entries) {
        printf "\n -- %s  %s\n\n", maintainer, date
    }
}

/^## / {
    end_entry()
    entries++
    version = $2
    sub(/,$/, "", version)
    printf "tm (%s) %s; urgency=medium\n\n", version, $0 ~ /not released/ ? "UNRELEASED" : "unstable"
    next
}

!entries { next }

{ gsub(/`/, "") }

/^- / {
    flush_item()
    item = substr($0, 3)
    next
}

/^ / { item = item " " $0 }

END { end_entry() }
