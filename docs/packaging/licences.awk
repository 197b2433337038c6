# Of the page of --format html, whose last comment holds the licences of the libraries in it: the stanzas of debian/copyright about
# it. Each library begins with a line "NAME VERSION, LICENCE"; the text of a licence is taken once.
/^Libraries in this page:/ { found = 1; next }
!found { next }
/^-->/ { exit }

/^[@a-z0-9\/.-]+ [0-9][0-9.]*, [A-Za-z0-9.-]+$/ {
    name = $1
    licence = $3
    new = !(licence in texts)
    if (new) {
        order[++licences] = licence
        texts[licence] = ""
    }
    if (licence == "Apache-2.0") {
        own("the authors of " name)
    }
    next
}

licence == "Apache-2.0" { next }

/^Copyright / { own(substr($0, length("Copyright ") + 1)) }

new && !/^Copyright / && ($0 != "" || texts[licence] != "") {
    texts[licence] = texts[licence] ($0 == "" ? " ." : " " $0) "\n"
}

function own(who) {
    if (!(who in owners)) {
        owners[who] = 1
        copyright = copyright (copyright == "" ? "" : "\n ") who
    }
}

END {
    texts["Apache-2.0"] = " On Debian systems the text of this licence is in /usr/share/common-licenses/Apache-2.0.\n"
    printf "\nFiles: debian/page/*\nCopyright: %s\nLicense: ", copyright
    for (i = 1; i <= licences; i++) {
        printf "%s%s", (i == 1 ? "" : " and "), order[i]
    }
    print ""
    for (i = 1; i <= licences; i++) {
        sub(/( \.\n)+$/, "", texts[order[i]])
        printf "\nLicense: %s\n%s", order[i], texts[order[i]]
    }
}
