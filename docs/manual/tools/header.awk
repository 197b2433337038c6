# tm.h as roff: -v part=NAMES, names of the functions; SYNOPSIS, prototypes; HEADER, what its first comment says after the first paragraph; FUNCTIONS, each
# function with the comment above it.
/^\/\*/ { in_comment = 1; lines = 0 }

in_comment {
    line = $0
    ends = sub(/ ?\*\/.*$/, "", line)
    sub(/^ ?\/?\*+ ?/, "", line)
    if (line != "" || lines) {
        comment[++lines] = line
    }
    if (ends) {
        in_comment = 0
        if (!first_seen++ && part == "HEADER") {
            print_first()
        }
    }
    next
}

/^TM_API\(/ {
    text = $0
    sub(/^TM_API\(/, "", text)
    sub(/\)$/, "", text)
    result = substr(text, 1, index(text, ", ") - 1)
    text = substr(text, length(result) + 3)
    name = "tm_" substr(text, 1, index(text, ", ") - 1)
    parameters = substr(text, index(text, ", ") + 2)
    prototype = result " " name parameters ";"
    if (part == "NAMES") {
        names = names (names == "" ? "" : ", ") name
    } else if (part == "SYNOPSIS") {
        printf ".B \"%s\"\n.br\n", roff(prototype)
    } else if (part == "FUNCTIONS") {
        printf ".TP\n.B \"%s\"\n", roff(prototype)
        print_lines(1)
    }
}

function print_lines(from, i) {
    for (i = from; i <= lines; i++) {
        print comment[i] == "" ? ".PP" : roff(comment[i])
    }
}

function print_first(i) {
    for (i = 1; i <= lines && comment[i] != ""; i++) {
    }
    while (lines && comment[lines] == "") {
        lines--
    }
    print_lines(i + 1)
}

END {
    if (part == "NAMES") {
        print names
    }
}
