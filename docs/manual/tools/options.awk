# The commands of `coreanalyze help --list` (-v part=COMMANDS) or its options (-v part=OPTIONS), as roff.
BEGIN { FS = "\t" }

function sentence(text) {
    return text ~ /[.:]$/ ? text : text "."
}

$1 == "command" {
    names[++commands] = $2
    operands[$2] = $3
    descriptions[$2] = $4
}

$1 == "heading" { headings[$2] = $4 }

$1 == "option" {
    letters[$2] = $4
    longs[$2] = $5
    arguments[$2] = $6
    texts[$2] = $8
    counts[$2]++
    users[$2] = users[$2] " " $3
}

($1 == "heading" || $1 == "option") && $2 > last { last = $2 }

function print_commands(i, name) {
    for (i = 1; i <= commands; i++) {
        name = names[i]
        printf ".TP\n\\fBcoreanalyze%s\\fR [\\fIOPTION\\fR...] \\fI%s\\fR\n%s\n", \
            name == "report" ? "" : " " name, roff(operands[name]), roff(descriptions[name])
    }
}

function argument_text(argument) {
    if (argument == "") {
        return ""
    }
    if (argument ~ /^\[/) { # one that may be left out
        return "\\fR[=\\fB" roff(substr(argument, 2, length(argument) - 2)) "\\fR]"
    }
    return "\\fR=\\fI" roff(argument)
}

# "top, diff and leaks", of the words in a list; "all but info" where that is shorter
function users_text(list, words, count, i, text, missing, others) {
    count = split(substr(list, 2), words, " ")
    if (count > commands / 2) {
        for (i = 1; i <= commands; i++) {
            if (!index(list " ", " " names[i] " ")) {
                missing = missing " " names[i]
                others++
            }
        }
        return others ? "all but " users_text(missing) : ""
    }
    for (i = 1; i <= count; i++) {
        text = text (i == 1 ? "" : i == count ? " and " : ", ") words[i]
    }
    return text
}

function print_options(i, user) {
    for (i = 0; i <= last; i++) {
        if (i in headings) {
            sub(/:$/, "", headings[i])
            printf ".SS %s\n", roff(headings[i])
        } else if (i in longs) {
            printf ".TP\n\\fB%s%s%s\\fR\n%s\n", letters[i] == "" ? "" : roff(letters[i]) "\\fR, \\fB", roff(longs[i]), \
                argument_text(arguments[i]), roff(sentence(texts[i]))
            user = users_text(users[i])
            if (user != "") {
                printf "For %s.\n", user
            }
        }
    }
}

END {
    if (part == "COMMANDS") {
        print_commands()
    } else {
        print_options()
    }
}
