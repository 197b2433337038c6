/* styles.c: see styles.h. Files as grep and ripgrep have them, the rest as GDB. */
#include "styles.h"

const char *const ca_styles[CA_STYLES] = {
    [CA_STYLE_PLAIN] = "",      [CA_STYLE_TITLE] = "1",    [CA_STYLE_FILE] = "35",
    [CA_STYLE_FUNCTION] = "33", [CA_STYLE_ADDRESS] = "34", [CA_STYLE_SIZE] = "36",
    [CA_STYLE_GROWTH] = "31",   [CA_STYLE_SHRINK] = "32",  [CA_STYLE_NOTE] = "2",
    [CA_STYLE_ALARM] = "1;31",
};
