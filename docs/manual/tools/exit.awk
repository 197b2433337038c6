# The exit codes at the end of coreanalyze's --help, "Exit codes: 0 such; 1 such.", as a list in roff.
/^Exit codes:/ { found = 1; sub(/^Exit codes: */, "") }
found { text = text (text == "" ? "" : " ") $0 }

END {
    sub(/[.]$/, "", text)
    count = split(text, codes, /; /)
    for (i = 1; i <= count; i++) {
        number = codes[i]
        sub(/ .*/, "", number)
        sub(/^[0-9]+ */, "", codes[i])
        printf ".TP\n.B %s\n%s\n", number, roff(codes[i])
    }
}
