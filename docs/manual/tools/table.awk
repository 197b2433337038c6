# What `coreanalyze help --list` or argp.awk says of options, as arrays for bash whose names begin with -v name:
#     NAME_options   of each command: its options, "=" after those that take a value
#     NAME_values    of "COMMAND OPTION": the words to choose from, or what --help calls the value
#     NAME_operands  of each command: what usage calls its operands
#     NAME_keys      of "KEY=": the words that may follow
BEGIN { FS = "\t" }

function quoted(text) {
    gsub(/'/, "'\\''", text)
    return "'" text "'"
}

# Of the words that the parser knows those that the text for this command names.
function words_named(words, text, list, count, i, named) {
    count = split(words, list, " ")
    for (i = 1; i <= count; i++) {
        if (match(" " text " ", "[^a-z]" list[i] "[^a-z]")) {
            named = named (named == "" ? "" : " ") list[i]
        }
    }
    return named == "" ? words : named
}

function add(array_index, text) {
    values = values "    [" quoted(array_index) "]=" quoted(text) "\n"
}

$1 == "command" { operands = operands "    [" $2 "]=" quoted($3) "\n" }

$1 == "key" { keys = keys "    [" quoted($2) "]=" quoted($3) "\n" }

$1 == "option" {
    optional = $6 ~ /^\[/
    value = optional ? substr($6, 2, length($6) - 2) : $7 == "" ? $6 : words_named($7, $8)
    if (!($3 in options)) {
        order[++count] = $3
    }
    options[$3] = options[$3] (options[$3] == "" ? "" : " ") $5 ($6 == "" || optional ? "" : "=")
    if (optional) {
        options[$3] = options[$3] " " $5 "="
    }
    if ($4 != "") {
        options[$3] = options[$3] " " $4
    }
    if (value != "") {
        add($3 " " $5, value)
        if ($4 != "" && !optional) {
            add($3 " " $4, value)
        }
    }
}

END {
    printf "declare -gA %s_options=(\n", name
    for (i = 1; i <= count; i++) {
        printf "    [%s]=%s\n", order[i], quoted(options[order[i]])
    }
    printf ")\ndeclare -gA %s_values=(\n%s)\n", name, values
    if (operands != "") {
        printf "declare -gA %s_operands=(\n%s)\n", name, operands
    }
    if (keys != "") {
        printf "declare -gA %s_keys=(\n%s)\n", name, keys
    }
}
