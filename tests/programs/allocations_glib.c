/* allocations_glib.c: every line marked HERE makes at least one block that stays, through GLib only; aborts at the end. */
#include <glib-object.h>
#include <stdlib.h>

static void *volatile kept[100];
static int count;

#define KEEP(value) (kept[count++] = (void *)(value))

static const char text[] = "a text that is long enough to be worth a block of its own";

int main(void)
{
    GError *error = NULL;
    char *contents;
    GValue value = G_VALUE_INIT;
    g_type_ensure(G_TYPE_OBJECT);

    KEEP(g_malloc(100));                                       /* HERE */
    KEEP(g_malloc0(100));                                      /* HERE */
    KEEP(g_new(int, 100));                                     /* HERE */
    KEEP(g_memdup2(text, sizeof text));                        /* HERE */
    KEEP(g_strdup(text));                                      /* HERE */
    KEEP(g_strndup(text, 30));                                 /* HERE */
    KEEP(g_strdup_printf("%s %d", text, count));               /* HERE */
    KEEP(g_strconcat(text, "-", text, NULL));                  /* HERE */
    KEEP(g_strjoin("-", text, text, NULL));                    /* HERE */
    KEEP(g_strsplit(text, " ", -1));                           /* HERE */
    KEEP(g_utf8_strup(text, -1));                              /* HERE */
    KEEP(g_ascii_strup(text, -1));                             /* HERE */
    KEEP(g_base64_encode((const guchar *)text, sizeof text));  /* HERE */
    KEEP(g_build_filename("/some/directory", text, NULL));     /* HERE */
    KEEP(g_path_get_basename("/some/directory/of/some/name")); /* HERE */
    KEEP(g_markup_escape_text("<a> & <b>", -1));               /* HERE */
    KEEP(g_shell_quote(text));                                 /* HERE */
    KEEP(g_uri_escape_string(text, NULL, FALSE));              /* HERE */
    KEEP(g_convert(text, -1, "UTF-16", "UTF-8", NULL, NULL, NULL)); /* HERE */

    GString *string = g_string_new(text);                      /* HERE */
    for (int i = 0; i < 100; i++) {
        g_string_append(string, text);                         /* HERE */
    }
    GArray *array = g_array_new(FALSE, FALSE, sizeof(int));    /* HERE */
    for (int i = 0; i < 1000; i++) {
        g_array_append_val(array, i);                          /* HERE */
    }
    GPtrArray *pointers = g_ptr_array_new();                   /* HERE */
    for (int i = 0; i < 1000; i++) {
        g_ptr_array_add(pointers, array);                      /* HERE */
    }
    GHashTable *table = g_hash_table_new(NULL, NULL);          /* HERE */
    for (int i = 0; i < 1000; i++) {
        g_hash_table_insert(table, GINT_TO_POINTER(i), array); /* HERE */
    }
    GTree *tree = g_tree_new((GCompareFunc)g_direct_equal);    /* HERE */
    KEEP(g_bytes_new(text, sizeof text));                      /* HERE */
    KEEP(g_list_append(NULL, array));                          /* HERE */
    KEEP(g_slist_prepend(NULL, array));                        /* HERE */
    KEEP(g_queue_new());                                       /* HERE */
    KEEP(g_error_new(1, 2, "%s", text));                       /* HERE */
    KEEP(g_variant_new_string(text));                          /* HERE */
    KEEP(g_ref_string_new(text));                              /* HERE */
    g_value_init(&value, G_TYPE_STRING);
    g_value_set_string(&value, text);                          /* HERE */
    g_set_error(&error, 1, 2, "%s", text);                     /* HERE */
    g_file_get_contents("/proc/self/status", &contents, NULL, NULL); /* HERE */
    KEEP(g_object_new(G_TYPE_OBJECT, NULL));                   /* HERE */
    KEEP(string);
    KEEP(pointers);
    KEEP(table);
    KEEP(tree);
    abort();
}
